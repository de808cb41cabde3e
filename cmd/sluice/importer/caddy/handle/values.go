package handle

import (
	"net/url"
	"regexp"
	"strings"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/caddy/caddyfile"
	"sluice/cmd/sluice/importer/mapping"
)

var code = regexp.MustCompile(`^[1-9][0-9][0-9]$`)

// names are the placeholders of Caddy that the configuration has too, most under another name.
var names = map[string]string{
	"remote_host": "client_address", "http.request.remote.host": "client_address", "client_ip": "client_address", "http.vars.client_ip": "client_address",
	"host": "host", "http.request.host": "host", "hostport": "host", "http.request.hostport": "host",
	"scheme": "scheme", "http.request.scheme": "scheme", "uuid": "request_id", "http.request.uuid": "request_id",
	"tls_version": "tls_version", "http.request.tls.version": "tls_version", "tls_cipher": "tls_cipher", "http.request.tls.cipher_suite": "tls_cipher",
	"http.request.tls.server_name": "tls_server_name", "tls_client_subject": "client_subject", "http.request.tls.client.subject": "client_subject",
}

// headerValue returns the value of a header as the configuration writes it. ok is false if it has a
// placeholder that sluice does not know.
func headerValue(text string) (value string, ok bool) {
	ok = !strings.Contains(text, `\{`)
	var b strings.Builder
	last := 0
	for _, at := range caddyfile.Placeholder.FindAllStringIndex(text, -1) {
		b.WriteString(mapping.Literal(text[last:at[0]]))
		name, known := names[text[at[0]+1:at[1]-1]]
		ok = ok && known
		b.WriteString("{" + name + "}")
		last = at[1]
	}
	return b.String() + mapping.Literal(text[last:]), ok
}

// target reads where a redir leads.
func (w *walk) target(to string, s state) (target importer.Redirect, ok bool) {
	for _, query := range []string{"?{query}", "{?query}", "?{http.request.uri.query}"} {
		to = strings.TrimSuffix(to, query)
	}
	for _, path := range []string{"{uri}", "{path}", "{http.request.uri}", "{http.request.uri.path}", "{%uri}", "{%path}"} {
		if rest, ok := strings.CutSuffix(to, path); ok {
			to, target.Keep = rest, true
			break
		}
	}
	if secure := w.config.secure; secure != w.config.plain {
		scheme := "http"
		if secure {
			scheme = "https"
		}
		to = strings.NewReplacer("{scheme}", scheme, "{http.request.scheme}", scheme).Replace(to)
	}
	if len(s.Hosts) == 1 && !strings.HasPrefix(s.Hosts[0], "*") {
		to = ownHost.ReplaceAllString(to, s.Hosts[0])
	}
	u, err := url.Parse(to)
	switch {
	case caddyfile.HasPlaceholder(to) || err != nil || strings.HasSuffix(to, "*"):
		return target, false
	case u.Host == "" && (!strings.HasPrefix(to, "/") || target.Keep) || u.Host != "" && u.Scheme != "http" && u.Scheme != "https":
		return target, false
	case target.Keep && (s.Fixed != "" || u.RawQuery != "" || u.Fragment != ""):
		return target, false
	}
	target.To = to
	return target, true
}

// ownHost matches the host that a client asks for.
var ownHost = regexp.MustCompile(`\{(?:http\.request\.)?host(?:port)?\}`)

// NamesHost reports whether a text has the host of the request in it, so that its meaning depends on it.
func NamesHost(text string) bool { return ownHost.MatchString(text) }
