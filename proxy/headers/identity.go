package headers

import (
	"crypto/tls"
	"crypto/x509"
	"strings"

	"sluice/internal/fieldname"
	"sluice/internal/header"
	"sluice/internal/httpsyntax"
)

// Fields that tell a backend which certificate a client has shown.
const (
	subjectField = header.XClientSubject // as RFC 2253 writes it
	sanField     = header.XClientSAN     // DNS:name, IP:address, email:address, URI:uri
)

// credentials are the fields that a TRACE request does not carry on, as its answer
// shows them (RFC 9110, section 9.3.8).
var credentials = fieldname.NewSet("Authorization", "Proxy-Authorization", "Cookie")

// forwarding are the fields that describe the way to this gateway, which a client must
// not learn.
var forwarding = fieldname.NewSet("Forwarded", "X-Forwarded-*")

// ApplyToTrace is [Edit.Apply] for a TRACE request: it sets nothing, and removes the
// client's credentials.
func (e *Edit) ApplyToTrace(h *header.Fields) {
	e.names.Strip(h)
	credentials.Strip(h)
}

// StripForwarding removes the fields that describe the way to this gateway.
func StripForwarding(h *header.Fields) { forwarding.Strip(h) }

// SetCertificate sets the fields that describe the client's certificate, if the client
// has shown one that was verified. S may be nil.
func SetCertificate(h *header.Fields, s *tls.ConnectionState) {
	if s == nil || len(s.VerifiedChains) == 0 {
		return
	}
	leaf := s.PeerCertificates[0]
	h.Set(subjectField, Escape(leaf.Subject.String(), ""))
	if names := alternativeNames(leaf); names != "" {
		h.Set(sanField, names)
	}
}

// alternativeNames lists the subject alternative names of a certificate.
func alternativeNames(c *x509.Certificate) string {
	var names []string
	add := func(kind, name string) { names = append(names, kind+":"+Escape(name, ",")) }
	for _, name := range c.DNSNames {
		add("DNS", name)
	}
	for _, ip := range c.IPAddresses {
		add("IP", ip.String())
	}
	for _, address := range c.EmailAddresses {
		add("email", address)
	}
	for _, uri := range c.URIs {
		add("URI", uri.String())
	}
	return strings.Join(names, ", ")
}

// TLSVariable returns the value of a variable that a TLS connection gives, or "".
func TLSVariable(name string, s *tls.ConnectionState) string {
	switch name {
	case "tls_version":
		return tls.VersionName(s.Version)
	case "tls_cipher":
		return tls.CipherSuiteName(s.CipherSuite)
	case "tls_server_name":
		return Escape(s.ServerName, "")
	case "client_subject":
		if len(s.VerifiedChains) > 0 {
			return Escape(s.PeerCertificates[0].Subject.String(), "")
		}
	}
	return ""
}

// Escape returns s as the value of a field: bytes that may not stand there, '%', and
// those in also are written as %XX.
func Escape(s, also string) string {
	return httpsyntax.Escape(s, func(c byte) bool {
		return c >= ' ' && c < 0x7f && c != '%' && strings.IndexByte(also, c) < 0
	})
}
