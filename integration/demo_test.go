package integration

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// The demo needs no file. It says what to open, and these addresses work.
func TestDemo(t *testing.T) {
	t.Parallel()
	g := launch(t, "demo", "--http", "127.0.0.1:0", "--https", "localhost:0", "--state-dir", t.TempDir())
	g.started()
	roots := x509.NewCertPool()
	roots.AddCert(certificate(t, g.rootFile()))
	secure := wstest.Target{Address: g.listener(true), TLS: &tls.Config{RootCAs: roots, ServerName: "localhost"}}
	_, port, err := net.SplitHostPort(secure.Address)
	if err != nil {
		t.Fatal(err)
	}
	host := "localhost:" + port
	g.wait("", func(r record) bool { return strings.Contains(r.text("text"), "https://"+host+"/") })

	r, page := wstest.Ask(t, secure, strings.Replace(get("/"), "gateway.test", host, 1))
	if r.StatusCode != 200 || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") || !strings.Contains(page, "<title>") {
		t.Errorf("the page: status %d, %q, %.200q", r.StatusCode, r.Header.Get("Content-Type"), page)
	}

	p := wstest.Open(t, secure, wstest.Handshake("/ws/echo", "Host: "+host, "Origin: https://"+host))
	p.Send(wstest.Text("hello, demo"))
	p.Expect(wstest.Text("hello, demo"))
	p.Send(wstest.Close(1000, "done"))
	p.ExpectClose(1000)
	p.ExpectEnd()

	if r, _ := wstest.Ask(t, secure, wstest.Handshake("/ws/echo", "Host: "+host, "Origin: https://evil.example")); r.StatusCode != 403 {
		t.Errorf("a page of another origin: status %d, want 403", r.StatusCode)
	}
}
