package listen

import (
	"crypto/tls"
	"fmt"
	"testing"

	"sluice/internal/wstest"
)

// Connections that are alike share a description; a certificate makes one of its own.
func TestAboutsAreShared(t *testing.T) {
	ca := wstest.NewCA(t)
	var all abouts
	shake := func(name string, certificate bool) *tls.ConnectionState {
		near, far := wstest.Sockets(t, "unix")
		defer near.Close()
		defer far.Close()
		client, server := ca.Client("gateway.test"), ca.Server(t, "gateway.test")
		client.ServerName, client.InsecureSkipVerify = name, true
		if certificate {
			server.ClientAuth, client.Certificates = tls.RequireAnyClientCert, ca.Server(t, "client").Certificates
		}
		s := tls.Server(far, server)
		if _, err := wstest.HandshakeTLS(tls.Client(near, client), s); err != nil {
			t.Fatal(err)
		}
		return all.of(s)
	}
	a := shake("a.test", false)
	if a.ServerName != "a.test" || !a.HandshakeComplete || a.Version != tls.VersionTLS13 {
		t.Errorf("%+v", a)
	}
	if shake("a.test", false) != a {
		t.Error("the same is described twice")
	}
	if b := shake("b.test", false); b == a || b.ServerName != "b.test" {
		t.Errorf("another name: %+v", b)
	}
	if c := shake("a.test", true); c == a || len(c.PeerCertificates) == 0 {
		t.Errorf("with a certificate: %+v", c)
	}
	for i := range mostAbouts + 1 {
		shake(fmt.Sprintf("%d.test", i), false)
	}
	if n := len(all.all); n > mostAbouts {
		t.Errorf("%d are kept", n)
	}
}
