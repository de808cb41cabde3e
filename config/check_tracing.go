package config

import (
	"net/http"
	"net/url"
	"strings"

	"sluice/config/report"
)

// tracesPath is where a collector takes traces (OTLP/HTTP).
const tracesPath = "/v1/traces"

// tracing checks where spans go.
func (k *checker) tracing(at report.Path) {
	t := k.config.Tracing
	if t == nil {
		return
	}
	if endpoint := at.Key("endpoint"); k.text(endpoint, t.Endpoint) {
		if wrong := t.setEndpoint(); wrong != "" {
			k.Reject(endpoint, "%s", wrong)
		}
	}
	headers := at.Key("headers")
	k.headerNames(headers, t.Headers, func(name string) string {
		switch http.CanonicalHeaderKey(name) {
		case "Content-Type", "Content-Encoding", "User-Agent":
			return "says what the gateway sends: it sets it itself"
		}
		return owned(name)
	})
	k.headerValues(headers, t.Headers)
	k.file(at.Key("ca"), &t.CA)
	if ca := at.Key("ca"); k.Good(ca) && strings.HasPrefix(t.Endpoint, "http://") {
		k.Fail(ca, "it has no meaning for an endpoint without TLS: remove it, or write https")
	}
	if k.Has(at.Key("service")) {
		k.text(at.Key("service"), t.Service)
	}
}

// setEndpoint brings the endpoint into one spelling, or returns what is wrong with it.
func (t *Tracing) setEndpoint() (wrong string) {
	if !strings.Contains(t.Endpoint, "://") {
		return "has no scheme: write http:// or https:// in front of it"
	}
	u, err := url.Parse(t.Endpoint)
	switch {
	case err != nil || u.Hostname() == "":
		return "is not a URL such as http://127.0.0.1:4318"
	case u.Scheme != "http" && u.Scheme != "https":
		return "has a scheme that is not http or https: spans are sent as OTLP over HTTP, on port 4318 of most collectors; 4317 is gRPC"
	case u.User != nil:
		return "has a user name in it: set an Authorization header with 'headers' instead"
	case strings.ContainsAny(t.Endpoint, "?#"):
		return "has more than scheme, host, port and path: what is secret belongs into 'headers'"
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = tracesPath
	}
	t.Endpoint = u.String()
	return ""
}
