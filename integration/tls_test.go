package integration

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

func TestCertificateFollowsTheServerName(t *testing.T) {
	t.Parallel()
	ca := wstest.NewCA(t)
	files := func(names ...string) string {
		cert, key := ca.Issue(t, names...)
		return fmt.Sprintf("{ cert: %q, key: %q }", cert, key)
	}
	g := startFile(t, fmt.Sprintf(`
listeners: [{ address: "127.0.0.1:0", tls: true }]
tls: { certificates: [%s, %s, %s] }
log: { format: json }
state_dir: %q
routes: [{ respond: { body: hello } }]
`, files("default.test"), files("a.test"), files("*.a.test", "b.test"), t.TempDir()))
	address := g.listener(true)
	for name, want := range map[string]string{
		"a.test": "a.test", "A.Test": "a.test", "x.a.test": "*.a.test", "b.test": "*.a.test",
		"x.y.a.test": "default.test", "unknown.test": "default.test", "": "default.test",
	} {
		p := wstest.Dial(t, wstest.Target{Address: address, TLS: &tls.Config{ServerName: name, InsecureSkipVerify: true}})
		if got := p.Conn.Conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName; got != want {
			t.Errorf("server name %q got the certificate of %q, want %q", name, got, want)
		}
	}
}

func TestTLSVersions(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Echo)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	tests := []struct {
		name    string
		version uint16
		suites  []uint16
	}{
		{"1.3", tls.VersionTLS13, nil},
		{"1.2 with AES-GCM", tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}},
		{"1.2 with ChaCha20", tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}},
		{"1.2 with AES-256-GCM", tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := g.https.TLS.Clone()
			c.MinVersion, c.MaxVersion, c.CipherSuites = tt.version, tt.version, tt.suites
			c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			for _, session := range []string{"first", "resumed"} {
				p := wstest.Open(t, wstest.Target{Address: g.https.Address, TLS: c}, wstest.Handshake("/"))
				p.Send(wstest.Text(session))
				p.Expect(wstest.Text(session))
				goodbye(p)
			}
		})
	}
	old := g.https.TLS.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if c, err := tls.Dial("tcp", g.https.Address, old); err == nil {
		c.Close()
		t.Error("TLS 1.1 was accepted")
	}
}

// The local CA makes one root, kept in the state directory, that verifies every
// name of self_signed, over restarts too.
func TestSelfSigned(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Echo)
	state := t.TempDir()
	config := fmt.Sprintf(`
listeners: [{ address: "127.0.0.1:0", tls: true }]
tls: { self_signed: [localhost, 127.0.0.1, app.test] }
log: { format: json }
state_dir: %q
routes: [{ path: /*, backend: %s }]
`, state, b.Address)
	g := startFile(t, config)
	roots := x509.NewCertPool()
	roots.AddCert(certificate(t, g.rootFile()))
	for _, g := range []*gateway{g, startFile(t, config)} {
		address := g.listener(true)
		for _, name := range []string{"localhost", "127.0.0.1", "app.test"} {
			p := wstest.Open(t, wstest.Target{Address: address, TLS: &tls.Config{RootCAs: roots, ServerName: name}}, wstest.Handshake("/", "Host: "+name))
			goodbye(p)
		}
	}
}

// rootFile returns the file of the local CA's root, as the log tells it.
func (g *gateway) rootFile() string {
	g.t.Helper()
	return g.wait("certificates come from the local CA", nil).text("file")
}

func TestGarbageOnBothPorts(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Echo)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	garbage := map[string]string{
		"nothing":                "",
		"zeros":                  strings.Repeat("\x00", 4096),
		"a TLS hello":            "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03",
		"an oversized record":    "\x16\x03\x01\xff\xff" + strings.Repeat("x", 70_000),
		"a plain request":        get("/"),
		"an endless line":        "GET /" + strings.Repeat("a", 2<<20),
		"an endless header":      "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 2<<20),
		"headers without number": "GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: y\r\n", 300_000),
		"an HTTP/2 preface":      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + strings.Repeat("\xff", 100),
		"SSH":                    "SSH-2.0-OpenSSH_9.2\r\n",
		"frames without a 101":   "\x81\x85\x00\x00\x00\x00hello",
	}
	for name, text := range garbage {
		for port, address := range map[string]string{"plain": g.http.Address, "TLS": g.https.Address} {
			if name == "a plain request" && port == "plain" {
				continue // which is no garbage there
			}
			t.Run(name+" on the "+port+" port", func(t *testing.T) {
				p := wstest.Dial(t, wstest.Target{Address: address})
				// The gateway may hang up in the middle of it.
				_, _ = p.Conn.Write([]byte(text))
				_ = p.CloseWrite()
				p.ExpectCut()
			})
		}
	}
	for _, target := range g.schemes() {
		goodbye(wstest.Open(t, target, wstest.Handshake("/")))
	}
	for _, h := range b.Seen()[2:] {
		t.Errorf("this reached the backend:\n%s", h)
	}
}

func TestListeners(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Echo)
	ca := wstest.NewCA(t)
	cert, key := ca.Issue(t, "gateway.test")
	socket := filepath.Join(t.TempDir(), "s.sock")
	g := startFile(t, fmt.Sprintf(`
listeners:
  - { address: "unix:%s" }
  - { address: "[::1]:0" }
  - { address: "127.0.0.1:0", redirect_https: true }
  - { address: "127.0.0.1:0", tls: true }
tls: { certificates: [{ cert: %q, key: %q }] }
log: { format: json }
state_dir: %q
routes: [{ path: /*, backend: %s }]
`, socket, cert, key, t.TempDir(), b.Address))
	address := func(configured string, tls bool) string {
		return g.wait("listening", func(r record) bool { return r.text("listener") == configured && r["tls"] == tls }).text("address")
	}
	if got := address("unix:"+socket, false); got != "unix:"+socket {
		t.Errorf("address of the unix socket: %q, want unix:%s", got, socket)
	}
	for _, at := range []string{"unix:" + socket, address("[::1]:0", false)} {
		goodbye(wstest.Open(t, wstest.Target{Address: at}, wstest.Handshake("/")))
	}
	secure := address("127.0.0.1:0", true)
	r, _ := wstest.Ask(t, wstest.Target{Address: address("127.0.0.1:0", false)}, get("/a%20b?c=d"))
	if want := "https://gateway.test" + secure[strings.LastIndexByte(secure, ':'):] + "/a%20b?c=d"; r.StatusCode != 308 || r.Header.Get("Location") != want {
		t.Errorf("redirect_https: status %d, Location %q; want 308, %q", r.StatusCode, r.Header.Get("Location"), want)
	}
}

// certificate reads the first certificate of a PEM file.
func certificate(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(read(t, file)))
	if block == nil {
		t.Fatalf("%s is not PEM", file)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
