package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// clientAuthority is an authority that issues certificates to clients.
type clientAuthority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
	last int64
}

func newClientAuthority(t *testing.T, name string) *clientAuthority {
	t.Helper()
	a := &clientAuthority{t: t, key: freshKey(t), last: 1}
	a.cert = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte(name),
	}, nil, a.key)
	a.file = filepath.Join(t.TempDir(), "clients.pem")
	a.publish()
	return a
}

func freshKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (a *clientAuthority) sign(template, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	a.t.Helper()
	a.last++
	template.SerialNumber = big.NewInt(a.last)
	template.NotBefore = time.Now().Add(-time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(24 * time.Hour)
	}
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

// publish writes the authority's certificate to its file.
func (a *clientAuthority) publish() {
	write(a.t, a.file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})))
}

// issue makes a certificate for a client.
func (a *clientAuthority) issue(template *x509.Certificate) tls.Certificate {
	a.t.Helper()
	k := freshKey(a.t)
	if template.ExtKeyUsage == nil {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	c := a.sign(template, a.cert, k)
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: k, Leaf: c}
}

// revoke writes a list of certificates to a file.
func (a *clientAuthority) revoke(file string, revoked ...tls.Certificate) {
	a.t.Helper()
	a.last++
	list := &x509.RevocationList{Number: big.NewInt(a.last), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, c := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.Leaf.SerialNumber, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	write(a.t, file, string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})))
}

func TestClientCertificates(t *testing.T) {
	t.Parallel()
	ours, theirs := newClientAuthority(t, "ours"), newClientAuthority(t, "theirs")
	crl := filepath.Join(t.TempDir(), "revoked.pem")
	alice := ours.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "alice", Organization: []string{"Example"}}})
	rich := ours.issue(&x509.Certificate{
		Subject:  pkix.Name{CommonName: "rösti\r\nX-Evil: 1"},
		DNSNames: []string{"alice.example.com"}, IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1).To4()}, EmailAddresses: []string{"alice@example.com"},
		URIs: []*url.URL{{Scheme: "spiffe", Host: "example.com", Path: "/a,DNS:evil"}},
	})
	mallory := ours.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "mallory"}})
	late := ours.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "late"}, NotAfter: time.Now().Add(-time.Minute)})
	server := ours.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "server"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	stranger := theirs.issue(&x509.Certificate{Subject: pkix.Name{CommonName: "stranger"}})
	ours.revoke(crl, mallory)

	b := wstest.NewBackend(t, func(c *wstest.Conn) {
		if c.Head.Get("Upgrade") != "" {
			wstest.Echo(c)
			return
		}
		wstest.Answering("HTTP/1.1 204 No Content\r\n\r\n")(c)
	})
	sites := map[string]*gateway{}
	for _, mode := range []string{"request", "require"} {
		ca := wstest.NewCA(t)
		cert, key := ca.Issue(t, "gateway.test")
		sites[mode] = startFile(t, fmt.Sprintf(`
listeners: ["127.0.0.1:0", { address: "localhost:0", tls: true }]
tls:
  certificates: [{ cert: %q, key: %q }]
  client_auth: { mode: %s, ca: %q, crl: %q }
log: { format: json }
state_dir: %q
routes: [{ backend: %s }]
`, cert, key, mode, ours.file, crl, t.TempDir(), b.Address))
		sites[mode].ca = ca.File
	}
	// ask reports whether a client is let in, and what the backend gets.
	ask := func(g *gateway, version uint16, c *tls.Certificate, request string) (h wstest.Head, ok bool) {
		t.Helper()
		config := &tls.Config{ServerName: "gateway.test", RootCAs: poolOf(t, g.ca), MinVersion: version, MaxVersion: version}
		if c != nil {
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c, nil }
		}
		conn, err := tls.Dial("tcp", g.listener(true), config)
		if err != nil {
			return h, false
		}
		defer conn.Close()
		before := len(b.Seen())
		_ = conn.SetDeadline(time.Now().Add(wstest.Guard))
		if _, err := conn.Write([]byte(request)); err != nil {
			return h, false
		}
		if n, err := conn.Read(make([]byte, 1)); n == 0 || err != nil { // TLS 1.3 refuses after the client's part is done
			return h, false
		}
		return b.Seen()[before], true
	}
	forged := []string{"X-Client-Subject: CN=root", "x-client-san: DNS:root", "X_Client_Subject: CN=root", "Connection: x-client-subject"}
	tests := []struct {
		name          string
		cert          *tls.Certificate
		request, must bool // gets through in these modes
		subject, san  string
	}{
		{"none", nil, true, false, "", ""},
		{"ours", &alice, true, true, "CN=alice,O=Example", ""},
		{"ours with names", &rich, true, true, `CN=r%C3%B6sti%0D%0AX-Evil: 1`,
			"DNS:alice.example.com, IP:192.0.2.1, email:alice@example.com, URI:spiffe://example.com/a%2CDNS:evil"},
		{"revoked", &mallory, false, false, "", ""},
		{"expired", &late, false, false, "", ""},
		{"for servers", &server, false, false, "", ""},
		{"of a stranger", &stranger, false, false, "", ""},
	}
	for mode, g := range sites {
		for _, tt := range tests {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				for kind, request := range map[string]string{
					"request":   strings.Replace(get("/", forged...), "Connection: close\r\n", "", 1),
					"handshake": wstest.Handshake("/", append(forged[:3:3], "Connection: Upgrade, x-client-subject")...),
				} {
					want := tt.request
					if mode == "require" {
						want = tt.must
					}
					h, ok := ask(g, version, tt.cert, request)
					if ok != want {
						t.Errorf("mode %s, certificate %s, %s, %s: through %t, want %t", mode, tt.name, tls.VersionName(version), kind, ok, want)
						continue
					}
					if got := strings.Join(h.Values("X-Client-Subject"), "|"); got != tt.subject {
						t.Errorf("mode %s, certificate %s, %s: X-Client-Subject %q, want %q", mode, tt.name, kind, got, tt.subject)
					}
					if got := strings.Join(h.Values("X-Client-San"), "|"); got != tt.san {
						t.Errorf("mode %s, certificate %s, %s: X-Client-San %q, want %q", mode, tt.name, kind, got, tt.san)
					}
					if h.Get("X_Client_Subject") != "" {
						t.Errorf("mode %s: X_Client_Subject came through", mode)
					}
				}
			}
		}
	}
	if r, _ := wstest.Ask(t, wstest.Target{Address: sites["require"].listener(false)}, get("/", forged[:3]...)); r.StatusCode != 204 {
		t.Errorf("in the clear: status %d", r.StatusCode)
	} else if h := b.Seen()[len(b.Seen())-1]; h.Get("X-Client-Subject")+h.Get("X-Client-San")+h.Get("X_Client_Subject") != "" {
		t.Errorf("in the clear the backend was told %s", h)
	}

	// A certificate that is revoked later is refused from then on, also on a resumed session. A
	// broken list changes nothing.
	g := sites["require"]
	config := &tls.Config{
		ServerName: "gateway.test", RootCAs: poolOf(t, g.ca), ClientSessionCache: tls.NewLRUClientSessionCache(1),
		Certificates: []tls.Certificate{alice},
	}
	resume := func(want bool) {
		t.Helper()
		conn, err := tls.Dial("tcp", g.listener(true), config)
		ok := err == nil
		if ok {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(wstest.Guard))
			_, _ = conn.Write([]byte(get("/")))
			_, err = conn.Read(make([]byte, 1))
			ok = err == nil
		}
		if ok != want {
			t.Errorf("alice gets through: %t, want %t (%v)", ok, want, err)
		}
	}
	resume(true)
	resume(true)
	write(t, crl, "no list")
	g.wait("changed file refused", nil)
	resume(true)
	theirs.revoke(crl, alice)
	g.wait("changed file refused", func(r record) bool { return strings.Contains(r.text("error"), "signed by none") })
	// A list that was read in part must not be used: alice would get in.
	ours.revoke(crl, mallory)
	first := strings.TrimSpace(read(t, crl))
	ours.revoke(crl, alice)
	write(t, crl, first+"\n"+first+read(t, crl))
	g.wait("changed file refused", func(r record) bool {
		return strings.Contains(r.text("error"), crl+":") && strings.Contains(r.text("error"), "is not ended")
	})
	r := g.reload("configuration refused", "", "")
	if !strings.Contains(r.text("error"), "tls.client_auth.crl: revocation list "+crl+":") {
		t.Errorf("error = %q, want the key and the file with its line", r.text("error"))
	}
	before := len(g.log())
	write(t, crl, "\ufeff"+strings.ReplaceAll(read(t, crl), "----------", "-----\r\n-----"))
	g.waitFrom(before, "client authorities reloaded", nil)
	resume(false)
	ours.revoke(crl, mallory, alice)
	g.wait("client authorities reloaded", nil)
	resume(false)
	ours.revoke(crl)
	before = len(g.log())
	theirs.publish()
	write(t, ours.file, read(t, theirs.file))
	theirs.revoke(crl)
	g.waitFrom(before, "client authorities reloaded", nil)
	resume(false)
	if _, ok := ask(g, tls.VersionTLS13, &stranger, get("/")); !ok {
		t.Error("a client of the new authority does not get through")
	}
}
