package headers

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"sluice/internal/header"
)

// lines writes a header as sorted lines.
func lines(h header.Fields) string {
	var all []string
	for name, values := range h.HTTP() {
		all = append(all, fmt.Sprintf("%s: %s", name, strings.Join(values, " | ")))
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func lookup(name string) string { return "<" + name + ">" }

func TestEdit(t *testing.T) {
	e := NewEdit([]string{"X-Removed", "X-Many-*"}, map[string]Template{
		"X-Set":   Text("{text}"),
		"X-Value": {{Text: "a-"}, {Text: "host", Variable: true}, {Text: "-z"}},
	}, "X-Later")
	h := header.FromHTTP(http.Header{
		"X-Removed": {"1"}, "x_removed": {"2"}, "X-Many-1": {"3"}, "X-Set": {"4"}, "X_set": {"5"}, "X-Later": {"6"}, "X-Kept": {"7"},
	})
	e.Apply(&h, lookup)
	if got, want := lines(h), "X-Kept: 7\nX-Set: {text}\nX-Value: a-<host>-z"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// The answer to a TRACE request shows what its backend got: nothing that is secret.
func TestTraceGetsNoSecrets(t *testing.T) {
	e := NewEdit(nil, map[string]Template{"X-Secret": Text("s")})
	h := header.FromHTTP(http.Header{"X-Secret": {"client's"}, "Authorization": {"a"}, "Cookie": {"c"}, "Accept": {"*/*"}})
	e.ApplyToTrace(&h)
	if got := lines(h); got != "Accept: */*" {
		t.Errorf("got\n%s", got)
	}
}

func TestResponse(t *testing.T) {
	e := NewResponse([]string{"Date", "Server"}, map[string]Template{"X-Route": {{Text: "route", Variable: true}}}, "no-store",
		Security{Always: map[string]string{"X-Frame-Options": "DENY"}, HSTS: "max-age=1"}, "Access-Control-Allow-Origin")
	backend := http.Header{
		"Server": {"s"}, "Cache-Control": {"public"}, "X-Frame-Options": {"ALLOWALL"}, "Strict-Transport-Security": {"max-age=0"},
		"Access-Control-Allow-Origin": {"*"},
	}
	tests := []struct {
		name    string
		status  int
		overTLS bool
		want    string
	}{
		{"over TLS", 200, true, "Cache-Control: no-store\nStrict-Transport-Security: max-age=1\nX-Frame-Options: DENY\nX-Route: <route>"},
		{"plain", 200, false, "Cache-Control: no-store\nX-Frame-Options: DENY\nX-Route: <route>"},
		{"an error", 500, false, "Cache-Control: public\nX-Frame-Options: DENY\nX-Route: <route>"},
	}
	for _, tt := range tests {
		h := header.FromHTTP(backend)
		e.Apply(&h, tt.status, tt.overTLS, lookup)
		if got := lines(h); got != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
}

func TestSetCertificate(t *testing.T) {
	leaf := &x509.Certificate{
		Subject: pkix.Name{CommonName: "änne,\n"}, DNSNames: []string{"a.test", "b,c.test"}, IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)},
		EmailAddresses: []string{"a@b.test"}, URIs: []*url.URL{{Scheme: "spiffe", Host: "x", Path: "/y"}},
	}
	verified := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}}}
	tests := []struct {
		name  string
		state *tls.ConnectionState
		want  string
	}{
		{"plain", nil, ""},
		{"without a certificate", &tls.ConnectionState{}, ""},
		{"not verified", &tls.ConnectionState{PeerCertificates: verified.PeerCertificates}, ""},
		{"verified", verified, "X-Client-San: DNS:a.test, DNS:b%2Cc.test, IP:192.0.2.1, email:a@b.test, URI:spiffe://x/y\n" +
			`X-Client-Subject: CN=%C3%A4nne\,%0A`},
	}
	for _, tt := range tests {
		var h header.Fields
		if SetCertificate(&h, tt.state); lines(h) != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", tt.name, lines(h), tt.want)
		}
	}
}

// Whatever is escaped can stand in a field, and different texts stay different.
func FuzzEscape(f *testing.F) {
	f.Add("a%b,c\r\n", "")
	f.Add("ä", "ä")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := Escape(a, ","), Escape(b, ",")
		if strings.ContainsFunc(x, func(c rune) bool { return c < ' ' || c > '~' || c == ',' }) {
			t.Fatalf("Escape(%q) = %q", a, x)
		}
		if (a == b) != (x == y) {
			t.Fatalf("%q and %q are escaped as %q and %q", a, b, x, y)
		}
	})
}
