package config

import (
	"net/textproto"
	"slices"
	"strings"

	"sluice/config/report"
	"sluice/config/spelling"
	"sluice/internal/fieldname"
	"sluice/internal/httpsyntax"
)

// http checks what a route does with HTTP bodies and responses.
func (k *checker) http(r *Route, at report.Path) {
	k.serves(r, at)
	k.errorPages(r.ErrorPages, at.Key("error_pages"))
	if c := r.Compress; c != nil {
		k.list(at.Key("compress").Key("types"), c.Types, func(pattern *string) (wrong string) {
			*pattern, wrong = spelling.MediaTypes(*pattern)
			return wrong
		})
		k.list(at.Key("compress").Key("encodings"), c.Encodings, anything)
	}
	if cache := at.Key("cache_control"); k.text(cache, r.CacheControl) && !spelling.IsDirectives(r.CacheControl) {
		k.Reject(cache, "is not a list of directives, as in public, max-age=60")
	}
	if r.CORS != nil {
		k.cors(r.CORS, at.Key("cors"))
	}
	k.settled(r, at)
}

// serves checks that the route does something that its keys apply to.
func (k *checker) serves(r *Route, at report.Path) {
	for _, rule := range []struct {
		keys   string
		breaks bool
		why    string
	}{
		{"timeouts", r.Protocol == "websocket", "only WebSockets reach this route: set 'handshake_timeout' of 'websocket' instead"},
		{"max_body_size compress cache_control cors", r.Protocol == "websocket", "only WebSockets reach this route: remove the key"},
		{"timeouts max_body_size", !k.hasBackend(at), "the route has no backend that this is about: remove the key"},
		{"min_body_rate error_pages compress cors", k.Has(at.Key("redirect")), "a redirect has nothing that this is about: remove the key"},
	} {
		for key := range strings.SplitSeq(rule.keys, " ") {
			if key := at.Key(key); rule.breaks && k.Good(key) {
				k.Fail(key, "%s", rule.why)
			}
		}
	}
}

// errorPages checks the statuses of error pages and resolves the names of their files.
func (k *checker) errorPages(pages map[string]string, at report.Path) {
	for status, file := range pages {
		at := at.Key(status)
		if !spelling.IsErrorStatus(status) {
			k.Fail(at, "%s is not a status of an error: write one from 400 to 599, or 4xx or 5xx for all of a class", report.Quote(status))
			continue
		}
		k.resolve(at, &file)
		pages[status] = file
	}
}

func (k *checker) cors(c *CORS, at report.Path) {
	k.list(at.Key("origins"), c.Origins, func(origin *string) (wrong string) {
		switch *origin {
		case "*":
			return ""
		case "true":
			return "is no origin: list those whose pages may read, or write \"*\" for all"
		case "same-origin":
			return "needs no permission: a page may always read from its own origin"
		}
		*origin, wrong = spelling.Origin(*origin)
		return wrong
	})
	k.methods(at.Key("methods"), c.Methods)
	for key, names := range map[string][]string{"headers": c.Headers, "expose": c.Expose} {
		k.list(at.Key(key), names, func(name *string) string {
			if !httpsyntax.IsToken(*name) {
				return "is not a name of a header"
			}
			return ""
		})
	}
	anyOrigin := slices.Contains(c.Origins, "*")
	if anyOrigin && len(c.Origins) > 1 {
		k.Fail(at.Key("origins"), `"*" is every origin: remove it or the others`)
	}
	if !c.Credentials {
		return
	}
	if anyOrigin || slices.Contains(c.Origins, "null") {
		k.Fail(at.Key("credentials"), `origins "*" and "null" are every page there is, and would act with each visitor's cookies: list the origins`)
	}
	for key, values := range map[string][]string{"methods": c.Methods, "headers": c.Headers, "expose": c.Expose} {
		if slices.Contains(values, "*") {
			k.Fail(at.Key(key), `browsers take "*" literally when there are credentials: list them`)
		}
	}
}

// settled reports headers that the route sets in responses although another key decides about them.
func (k *checker) settled(r *Route, at report.Path) {
	for name := range r.Response.Set {
		by := r.settledBy(textproto.CanonicalMIMEHeaderKey(fieldname.Fold(name)))
		if by == "" {
			continue
		}
		for _, set := range []string{"set_headers", "set_headers_file"} {
			if at := at.Key("response").Key(set).Key(name); k.Good(at) {
				k.Fail(at, "%s is what '%s' of this route sets: keep one of the two", report.Quote(name), by)
			}
		}
	}
}

// settledBy returns the key that decides about a header of responses, or "".
func (r *Route) settledBy(header string) (key string) {
	s := r.Security
	switch {
	case header == "Cache-Control" && r.CacheControl != "":
		return "cache_control"
	case s == nil:
	case header == "Strict-Transport-Security" && s.HSTS > 0,
		header == "X-Content-Type-Options" && s.NoSniff,
		header == "X-Frame-Options" && s.FrameOptions != "":
		return "security"
	}
	if r.CORS != nil && strings.HasPrefix(header, "Access-Control-") {
		return "cors"
	}
	return ""
}

func (k *checker) webSocket(r *Route, at report.Path) {
	section := at.Key("websocket")
	switch {
	case !k.Has(section):
		return
	case !k.hasBackend(at):
		k.Fail(section, "no WebSocket reaches this route: it has no backend; remove the section")
	case r.Protocol == "http":
		k.Fail(section, "no WebSocket reaches this route: it has 'protocol: http'; remove one of the two")
	}
	k.list(section.Key("origins"), r.WebSocket.Origins, func(origin *string) (wrong string) {
		*origin, wrong = spelling.Origin(*origin)
		return wrong
	})
	k.list(section.Key("subprotocols"), r.WebSocket.Subprotocols, func(name *string) string {
		if !httpsyntax.IsToken(*name) {
			return "is not a name of a subprotocol"
		}
		return ""
	})
	k.sessionLimits(&r.WebSocket.Limits, section.Key("limits"))
}

// tap checks that a tap has something to show.
func (k *checker) tap(r *Route, at report.Path) {
	section := at.Key("tap")
	switch {
	case r.Tap == nil:
		return
	case !k.hasBackend(at):
		k.Fail(section, "no WebSocket reaches this route: it has no backend; remove the key")
		return
	case r.Protocol == "http":
		k.Fail(section, "no WebSocket reaches this route: it has 'protocol: http'; remove one of the two")
		return
	}
	for _, key := range []string{"max", "no_context_takeover"} {
		if key := section.Key(key); k.Has(key) && !r.Tap.Payload && !k.Broken(section.Key("payload")) {
			k.Fail(key, "a tap shows no payload that this is about: add 'payload: true' or remove the key")
		}
	}
	if r.Tap.NoContextTakeover && r.WebSocket.Compression == "strip" {
		k.Fail(section.Key("no_context_takeover"), "there is no compression: it has 'compression: strip' in 'websocket'; remove one of the two")
	}
}

func (k *checker) sessionLimits(l *SessionLimits, at report.Path) {
	burst(k, at, "handshake_rate", l.HandshakeRate, "handshake_burst", &l.HandshakeBurst)
	k.traffic(&l.Client, at)
	k.traffic(&l.Backend, at.Key("backend"))
}

// traffic checks the limits of one side of a session and fills in the bursts.
func (k *checker) traffic(t *Traffic, at report.Path) {
	burst(k, at, "message_rate", t.MessageRate, "message_burst", &t.MessageBurst)
	burst(k, at, "byte_rate", t.ByteRate, "byte_burst", &t.ByteBurst)
	messages, bytes, excess := at.Key("message_rate"), at.Key("byte_rate"), at.Key("on_excess")
	if k.Has(excess) && t.MessageRate == 0 && t.ByteRate == 0 && !k.Broken(messages) && !k.Broken(bytes) {
		k.Fail(excess, "there is no 'message_rate' or 'byte_rate' to exceed: add one or remove the key")
	}
}
