package haproxy

import (
	"slices"
	"strings"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/haproxy/section"
)

// steps are what a proxy does with a request, in the order in which HAProxy does it.
type steps struct {
	requests  []step // http-request
	redirects []step // redirect
	uses      []step // use_backend, and default_backend at the end
}

func (s steps) all() []step { return slices.Concat(s.requests, s.redirects, s.uses) }

// A step is one thing that is done with requests that meet a condition.
type step struct {
	section.Line
	verb      string   // such as deny
	args      []string // behind it
	condition []string // behind if or unless
	unless    bool
}

// newStep reads a step whose verb is a word of a line.
func newStep(l section.Line, verb int) step {
	s := step{Line: l, args: l.Words[min(verb+1, len(l.Words)):]}
	s.verb, _, _ = strings.Cut(l.Word(verb), "(")
	if i := slices.IndexFunc(s.args, func(word string) bool { return word == "if" || word == "unless" }); i >= 0 {
		s.unless = s.args[i] == "unless"
		s.args, s.condition = s.args[:i], s.args[i+1:]
	}
	return s
}

// after returns the argument behind a word, or "".
func (s step) after(word string) string {
	if i := slices.Index(s.args, word); i >= 0 && i+1 < len(s.args) {
		return s.args[i+1]
	}
	return ""
}

// Verbs of http-request by what becomes of them.
var (
	// they change nothing that sluice has
	idle = strings.Fields(`capture disable-l7-retry early-hint normalize-uri sc-add-gpc sc-inc-gpc sc-inc-gpc0 sc-inc-gpc1 sc-set-gpt sc-set-gpt0
	set-fc-mark set-fc-tos set-log-level set-mark set-nice set-priority-class set-priority-offset set-tos set-bc-mark set-bc-tos set-var set-var-fmt
	track-sc track-sc0 track-sc1 track-sc2 unset-var wait-for-body wait-for-handshake strict-mode set-map del-map add-acl del-acl del-gpt`)
	// they are not carried, and nothing is less strict for it
	unheard = strings.Fields("cache-use set-timeout set-src set-src-port")
	// they change the request
	changing = strings.Fields("set-header add-header del-header set-path replace-path")
)

// modifies reports whether requests go on after the step.
func (s step) modifies() bool {
	return slices.Contains(idle, s.verb) || slices.Contains(unheard, s.verb) || slices.Contains(changing, s.verb)
}

// isHTTPS reports whether the step leads to the same URL with https.
func (s step) isHTTPS() bool { return s.verb == "redirect" && s.after("scheme") == "https" }

// isPlain reports whether the condition of a step is that the request came without TLS, and no more than that its
// path is not one by which a CA asks for proof.
func (p *proxy) isPlain(s step) (plain bool) {
	words := slices.Clone(s.condition)
	for not := s.unless; len(words) > 0; not = false {
		for strings.HasPrefix(words[0], "!") {
			not = !not
			if words[0] = words[0][1:]; words[0] == "" && len(words) > 1 {
				words = words[1:]
			}
		}
		tests := [][]string{}
		if end := slices.Index(words, "}"); words[0] == "{" && end > 1 {
			tests, words = append(tests, words[1:end]), words[end+1:]
		} else {
			for _, l := range p.acls[words[0]] {
				tests = append(tests, l.Words[2:])
			}
			words = words[1:]
		}
		switch {
		case not && len(tests) == 1 && slices.Equal(tests[0], []string{"ssl_fc"}):
			plain = true
		case s.unless || !not || len(tests) == 0 || slices.ContainsFunc(tests, func(test []string) bool { return !isProof(test) }):
			return false
		}
	}
	return plain
}

// isProof reports whether a test is for paths by which a CA asks for proof.
func isProof(test []string) bool {
	return len(test) > 1 && strings.HasPrefix(test[0], "path") && !slices.ContainsFunc(test[1:], func(value string) bool { return !strings.HasPrefix(value, "/.well-known/") })
}

// read reads the lines of a proxy that are about requests.
func (p *proxy) read() error {
	var last []step
	for _, l := range p.Lines {
		switch l.Words[0] {
		case "acl":
			if len(l.Words) < 3 {
				return l.Pos.Errorf("acl takes a name and what it asks for")
			}
			p.acls[l.Words[1]] = append(p.acls[l.Words[1]], l)
		case "bind":
			if !p.isFront() {
				continue
			}
			binds, err := readBind(l)
			if err != nil {
				return err
			}
			p.binds = append(p.binds, binds...)
		case "http-request":
			p.steps.requests = append(p.steps.requests, newStep(l, 1))
		case "redirect":
			p.steps.redirects = append(p.steps.redirects, newStep(l, 0))
		case "use_backend":
			if p.isFront() {
				p.steps.uses = append(p.steps.uses, newStep(l, 0))
			}
		case "default_backend":
			last = []step{newStep(l, 0)}
		}
	}
	if p.isFront() {
		p.steps.uses = append(p.steps.uses, last...)
	}
	return nil
}

// Lines of a proxy by their first word. Those that stand in none of these lists make what the proxy does
// answer 403: who knows what they keep clients from.
var (
	// carried elsewhere, or without a meaning for sluice
	known = strings.Fields(`mode bind acl http-request redirect use_backend default_backend server server-template default-server balance cookie
	maxconn timeout retries retry-on option log log-format log-format-sd log-tag log-steps http-check errorloc errorloc302 errorloc303 description id enabled
	backlog fullconn hash-type hash-balance-factor http-reuse compression bind-process max-keep-alive-queue max-session-srv-conns unique-id-format
	unique-id-header declare capture stick-table http-response http-after-response tcp-request tcp-check error-log-format clitcpka-cnt clitcpka-idle
	clitcpka-intvl srvtcpka-cnt srvtcpka-idle srvtcpka-intvl load-server-state-from-file server-state-file-name guid no grace monitor-uri persist
	external-check dynamic-cookie-key`)
	// not carried, and nothing is less strict for it
	harmless = strings.Fields("errorfile errorfiles http-error stats email-alert force-persist ignore-persist http-send-name-header source monitor stick filter")

	// options that keep no client from anything
	options = strings.Fields(`httplog tcplog httpslog dontlognull dontlog-normal logasap log-health-checks log-separate-errors forwardfor forwarded originalto
	http-server-close httpclose http-keep-alive http-pretend-keepalive http-no-delay http-buffer-request http-use-htx http-use-proxy-header abortonclose
	redispatch allbackups contstats clitcpka srvtcpka tcpka splice-auto splice-request splice-response tcp-smart-accept tcp-smart-connect
	tcp-check httpchk ssl-hello-chk ldap-check mysql-check pgsql-check redis-check smtpchk spop-check nolinger prefer-last-server socket-stats
	independent-streams http-ignore-probes idle-close-on-response accept-invalid-http-request accept-invalid-http-response accept-unsafe-violations-in-http-request
	accept-unsafe-violations-in-http-response external-check persist transparent h1-case-adjust-bogus-client h1-case-adjust-bogus-server disable-h2-upgrade
	use-small-buffers http-drop-request-trailers http-drop-response-trailers`)
)

// restrict returns notes about all lines of a proxy that are not carried. For some its requests answer 403.
func (p *proxy) restrict() (notes []importer.Note) {
	note := func(kind importer.Kind, l section.Line, why string) {
		notes = append(notes, importer.Note{Kind: kind, Pos: l.Pos, Text: l.Text, Why: why})
	}
	for _, l := range p.Lines {
		if l.Has("stats", "auth") {
			l.Text = "stats auth ..." // not the password
		}
		switch word := l.Words[0]; {
		case word == "bind" && strings.Contains(l.Word(1), "quic"):
			note(importer.Lost, l, "sluice does not speak HTTP/3")
		case word == "tcp-request" && !isAccept(l), word == "tcp-response",
			(word == "http-response" || word == "http-after-response") && slices.Contains([]string{"deny", "return", "redirect"}, l.Word(1)):
			note(importer.Refused, l, "sluice has no conditions like this")
		case word == "filter" && !slices.Contains([]string{"compression", "trace", "cache", "bwlim-in", "bwlim-out", "comp-req", "comp-res"}, l.Word(1)):
			note(importer.Refused, l, "sluice does not ask other programs")
		case word == "option" && !slices.Contains(options, l.Word(1)):
			note(importer.Refused, l, "sluice does not know this option")
		case slices.Contains(known, word):
		case word == "filter" && l.Word(1) == "compression", word == "errorfile" && l.Word(2) == "/dev/null":
		case slices.Contains(harmless, word):
			note(importer.Lost, l, "sluice has nothing like it")
		default:
			note(importer.Refused, l, "sluice does not know "+word)
		}
	}
	return notes
}

// isAccept reports whether a tcp-request turns nobody away.
func isAccept(l section.Line) bool {
	action, _, _ := strings.Cut(l.Word(2), "(")
	return l.Word(1) == "inspect-delay" || slices.Contains(idle, action) || action == "accept"
}
