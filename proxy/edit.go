package proxy

import (
	"crypto/tls"
	"maps"
	"net/http"
	"slices"
	"strings"

	"sluice/config"
	"sluice/internal/fieldname"
)

// edit is a change to a header section: removals first, then settings.
type edit struct {
	names fieldname.Set // that do not pass, whoever sent them: those removed and those set
	set   map[string]template
}

// template is a value with variables in it.
type template []config.Part

// newEdit returns the change that c asks for, which others set the headers of
// also after.
func newEdit(c *config.Headers, also ...string) edit {
	e := edit{
		names: fieldname.NewSet(slices.Concat(c.Remove, slices.Collect(maps.Keys(c.Set)), also)...),
		set:   make(map[string]template, len(c.Set)),
	}
	for name, value := range c.Set {
		if c.FromFile[name] {
			e.set[name] = template{{Text: value}}
		} else {
			e.set[name] = config.Parts(value)
		}
	}
	return e
}

func (e *edit) apply(x *exchange, h http.Header) {
	e.names.Strip(h)
	for name, value := range e.set {
		h.Set(name, value.of(x))
	}
}

// of returns the value for the request of x.
func (t template) of(x *exchange) string {
	if len(t) == 1 && !t[0].Variable {
		return t[0].Text
	}
	var b strings.Builder
	for _, p := range t {
		if p.Variable {
			b.WriteString(x.variable(p.Text))
		} else {
			b.WriteString(p.Text)
		}
	}
	return b.String()
}

// variable returns what a name of [config.Variables] stands for, "" where the
// request has no such thing.
func (x *exchange) variable(name string) string {
	switch name {
	case "client_address":
		if x.origin.Client.IsValid() {
			return x.origin.Client.String()
		}
	case "route":
		return escape(x.svc.group.Name, "")
	case "host":
		return escape(x.origin.Host, "")
	case "request_id":
		return x.record.ID
	case "scheme":
		return x.origin.Proto
	}
	if s := x.r.TLS; s != nil {
		return tlsVariable(name, s)
	}
	return ""
}

func tlsVariable(name string, s *tls.ConnectionState) string {
	switch name {
	case "tls_version":
		return tls.VersionName(s.Version)
	case "tls_cipher":
		return tls.CipherSuiteName(s.CipherSuite)
	case "tls_server_name":
		return escape(s.ServerName, "")
	case "client_subject":
		if len(s.VerifiedChains) > 0 {
			return escape(s.PeerCertificates[0].Subject.String(), "")
		}
	}
	return ""
}
