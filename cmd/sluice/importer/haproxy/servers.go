package haproxy

import (
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/haproxy/section"
	"sluice/cmd/sluice/importer/mapping"
)

// hasServers reports whether a proxy has servers.
func (p *proxy) hasServers() bool {
	return slices.ContainsFunc(p.Lines, func(l section.Line) bool { return l.Has("server") || l.Has("server-template") })
}

// servers returns the name of the backend for the servers of a proxy, or "" if it has none.
func (c *config) servers(p *proxy) (string, error) {
	if name, ok := c.backends[p]; ok || !p.hasServers() {
		return name, nil
	}
	s := servers{config: c, proxy: p}
	for _, l := range p.Lines {
		switch l.Words[0] {
		case "default-server":
			s.common = append(s.common, l.Words[1:]...)
		case "server":
			if err := s.add(l, l.Word(2), l.Words[min(3, len(l.Words)):]); err != nil {
				return "", err
			}
		case "server-template":
			if err := s.add(l, l.Word(3), l.Words[min(4, len(l.Words)):]); err != nil {
				return "", err
			}
		}
	}
	b := c.plan.AddBackend(p.Name)
	b.Keys, b.Notes = s.keys(), s.notes
	c.backends[p] = b.Name
	return b.Name, nil
}

// servers are those of a proxy while they are read.
type servers struct {
	*config
	*proxy
	common    []string // options of default-server
	endpoints []mapping.Map
	own       mapping.Map // keys of the backend that servers ask for
	notes     []importer.Note

	tls     *mapping.Map // how those with TLS are spoken to; nil if there is none
	checked bool
	queued  bool // a server has a bound
}

func (s *servers) note(kind importer.Kind, l section.Line, why string) {
	n := importer.Note{Kind: kind, Pos: l.Pos, Text: l.Text, Why: why}
	if !slices.Contains(s.notes, n) {
		s.notes = append(s.notes, n)
	}
}

// Options of servers that change nothing that sluice has, by whether a word follows.
var (
	serverFlags  = strings.Fields("enabled no-check no-backup check-send-proxy no-agent-check check-via-socks4 no-ssl-reuse no-sslv3 no-tlsv10 no-tlsv11 no-tlsv12 no-tls-tickets ssl-reuse stick tfo allow-0rtt no-send-proxy no-send-proxy-v2 no-ssl no-check-ssl force-tlsv12")
	serverValues = strings.Fields("id cookie resolvers resolve-prefer resolve-opts resolve-net init-addr ciphers ciphersuites ssl-max-ver maxqueue minconn pool-low-conn pool-max-conn pool-purge-delay max-reuse log-proto error-limit on-marked-up tcp-ut check-alpn check-proto guid hash-key ws shard observe curves sigalgs npn check-sni namespace downinter fastinter")
)

// add adds a server.
func (s *servers) add(l section.Line, address string, own []string) error {
	if address == "" {
		return l.Pos.Errorf("%s takes a name and an address", l.Words[0])
	}
	e := mapping.Map{{Key: "address", Value: ""}}
	var tls mapping.Map
	ssl, h2, insecure := false, false, false
	words := slices.Concat(s.common, own)
	for i := 0; i < len(words); i++ {
		word, value := words[i], ""
		if i+1 < len(words) {
			value = words[i+1]
		}
		n, err := strconv.Atoi(value)
		t, isTime := duration(value)
		next := true // the word has a value
		switch {
		case word == "weight" && err == nil && n == 0, word == "disabled":
			e.Set(true, "drain")
			next = word == "weight"
		case word == "weight" && err == nil && n > 0:
			e.Set(min(n, 1000), "weight")
		case word == "backup":
			e.Set(true, "backup")
			next = false
		case word == "maxconn" && err == nil:
			if n > 0 {
				s.queued = true
				if !importer.MaxConnections(&e, n) {
					s.note(importer.Refused, l, "sluice counts requests and sessions apart: one connection for both together has no counterpart")
				}
			}
		case word == "check":
			s.checked = true
			next = false
		case word == "inter" && isTime:
			s.own.Set(mapping.Duration(t, 100*time.Millisecond, time.Hour), "health", "interval")
		case (word == "rise" || word == "fall") && err == nil && n > 0:
			s.own.Set(min(n, 100), "health", word)
		case word == "slowstart" && isTime:
			s.own.Set(mapping.Duration(t, time.Second, time.Hour), "slow_start")
		case word == "ssl" || word == "no-ssl":
			ssl, next = word == "ssl", false
		case word == "verify":
			insecure = value == "none"
		case word == "ca-file" || word == "crt":
			s.file(&tls, word, value)
		case word == "verifyhost", word == "sni" && strings.HasPrefix(value, "str("):
			tls.Set(strings.TrimSuffix(strings.TrimPrefix(value, "str("), ")"), "server_name")
		case word == "sni":
			s.note(importer.Remark, l, "sluice asks for the endpoint's host, or for 'tls.server_name'")
		case (word == "alpn" || word == "proto") && strings.Contains(value, "h2"):
			h2 = true
		case word == "alpn" || word == "proto":
		case word == "send-proxy" || word == "send-proxy-v2":
			s.own.Set(map[string]string{"send-proxy": "v1", "send-proxy-v2": "v2"}[word], "proxy_protocol")
			next = false
		case word == "ssl-min-ver":
			if value == "TLSv1.3" {
				tls.Set("1.3", "min_version")
			}
		case slices.Contains(serverFlags, word):
			next = false
		case slices.Contains(serverValues, word):
		case slices.Contains([]string{"port", "addr", "check-ssl", "agent-check", "agent-port", "agent-inter", "agent-addr", "agent-send", "track", "on-error", "on-marked-down", "on-marked-up"}, word):
			s.note(importer.Lost, l, "sluice has nothing like "+word)
			next = word != "check-ssl" && word != "agent-check"
		default:
			s.note(importer.Refused, l, "sluice does not know "+word+" of a server")
			next = false
		}
		if next {
			i++
		}
	}
	to, ok := endpoint(address, ssl, h2)
	if !ok {
		s.note(importer.Refused, l, "it has no port, and so that of the client's connection, which sluice does not use: write one")
		to = "127.0.0.1:1"
	}
	if ssl && h2 {
		s.own.Set(true, "http2")
	}
	if insecure {
		tls.Set(true, "insecure")
	}
	switch {
	case ssl && s.tls == nil:
		s.tls = &tls
	case ssl && !reflect.DeepEqual(tls, *s.tls):
		s.note(importer.Refused, l, "sluice speaks TLS to all endpoints of a backend in one way, and this server has other certificates or names than those before it: make a backend of its own")
	}
	e.Set(to, "address")
	s.endpoints = append(s.endpoints, e)
	return nil
}

// file carries a file of TLS to servers.
func (s *servers) file(tls *mapping.Map, word, name string) {
	base := map[string]string{"ca-file": "ca-base", "crt": "crt-base"}[word]
	if dir := s.globally(base).Word(1); dir != "" && !strings.HasPrefix(name, "/") {
		name = dir + "/" + name
	}
	switch {
	case word == "crt":
		tls.Set(name, "cert")
		tls.Set(name, "key")
	case name != "@system-ca":
		tls.Set(name, "ca")
	}
}

// endpoint writes an address of a server.
func endpoint(address string, ssl, h2 bool) (string, bool) {
	for _, prefix := range []string{"ipv4@", "ipv6@", "unix@"} {
		address = strings.TrimPrefix(address, prefix)
	}
	scheme := map[bool]string{true: "https://"}[ssl]
	if !ssl && h2 {
		scheme = "h2c://"
	}
	if strings.HasPrefix(address, "/") {
		return "unix:" + address, !ssl && !h2
	}
	i := strings.LastIndexByte(address, ':')
	if i < 0 {
		return "", false
	}
	host, port := strings.Trim(address[:i], "[]"), address[i+1:]
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" || host == "*" {
		return "", false
	}
	return scheme + net.JoinHostPort(host, port), true
}

// keys returns the keys of the backend.
func (s *servers) keys() (keys mapping.Map) {
	if address, ok := s.endpoints[0].Get("address").(string); ok && len(s.endpoints) == 1 && len(s.endpoints[0]) == 1 {
		keys.Set([]string{address}, "endpoints")
	} else {
		keys.Set(s.endpoints, "endpoints")
		s.balance(&keys)
	}
	if l, ok := s.get("cookie"); ok && slices.Contains(l.Words, "insert") {
		keys.Set(mapping.Map{{Key: "cookie", Value: l.Word(1)}}, "sticky")
	} else if ok {
		s.note(importer.Lost, l, "sluice sets a cookie of its own: 'sticky'")
	}
	health, _ := s.own.Get("health").(mapping.Map)
	s.own = slices.DeleteFunc(s.own, func(e mapping.Entry) bool { return e.Key == "health" })
	if s.checked {
		keys.Set(append(s.health(), health...), "health")
	}
	if t, ok := duration(s.value("timeout", "connect")); ok {
		keys.Set(mapping.Duration(t, time.Millisecond, 10*time.Minute), "connect_timeout")
	}
	if n, err := strconv.Atoi(s.value("retries")); err == nil && n >= 0 {
		keys.Set(min(n+1, 20), "retry")
	}
	if s.queued {
		wait, ok := duration(s.value("timeout", "queue"))
		if !ok {
			wait, ok = duration(s.value("timeout", "connect"))
		}
		queue := mapping.Map{{Key: "length", Value: 10_000}}
		if ok {
			queue.Set(mapping.Duration(wait, time.Millisecond, 10*time.Minute), "timeout")
		}
		keys.Set(queue, "queue")
	}
	if s.tls != nil && len(*s.tls) > 0 {
		s.own.Set(*s.tls, "tls")
	}
	return append(keys, s.own...)
}

// balance carries how a server is chosen.
func (s *servers) balance(keys *mapping.Map) {
	l, _ := s.get("balance")
	algorithm, argument, _ := strings.Cut(strings.TrimSuffix(l.Word(1), ")"), "(")
	if argument == "" {
		argument = l.Word(2)
	}
	hash := func(by string) {
		keys.Set("hash", "balance")
		if by != "client" {
			keys.Set(by, "hash_by")
		}
	}
	switch {
	case algorithm == "" || algorithm == "roundrobin" || algorithm == "static-rr":
		keys.Set("round_robin", "balance")
	case algorithm == "leastconn":
		keys.Set("least_connections", "balance")
	case algorithm == "random":
		keys.Set("random_two", "balance")
	case algorithm == "source":
		hash("client")
	case algorithm == "hdr" && argument != "":
		hash("header:" + argument)
	case algorithm == "url_param" && argument != "":
		hash("query:" + argument)
	case algorithm == "hash" && argument == "src":
		hash("client")
	default:
		keys.Set("least_connections", "balance")
		s.note(importer.Lost, l, "sluice takes the endpoint with the fewest connections here: it hashes the client's address, a header, a cookie or a query parameter")
	}
}

// health carries how servers are checked.
func (s *servers) health() (keys mapping.Map) {
	l, on := s.option("httpchk")
	if !on {
		keys.Set("tcp", "check")
		if t, ok := duration(s.value("timeout", "check")); ok {
			keys.Set(mapping.Duration(t, time.Millisecond, 10*time.Minute), "timeout")
		}
		return keys
	}
	keys.Set("http", "check")
	path := "/"
	for _, word := range l.Words[2:] {
		if strings.HasPrefix(word, "/") {
			path = word
		}
	}
	var headers mapping.Map
	status := []string{"200", "201", "202", "203", "204", "205", "206", "301", "302", "303", "304", "307", "308"}
	body := ""
	for _, l := range s.Lines {
		switch {
		case l.Has("http-check", "send"):
			if uri := l.After("uri"); uri != "" {
				path = uri
			}
			for i, word := range l.Words {
				if word == "hdr" && i+2 < len(l.Words) {
					headers.Set(l.Words[i+2], l.Words[i+1])
				}
			}
		case l.Has("http-check", "expect", "status"):
			status = statuses(l.Word(3))
			if status == nil {
				s.note(importer.Lost, l, "sluice knows status codes and ranges of them")
			}
		case l.Has("http-check", "expect", "string"):
			body, status = l.Word(3), nil
		case l.Has("http-check", "disable-on-404"):
		case l.Has("http-check"):
			s.note(importer.Lost, l, "sluice sends one request, and looks at the status and the body of the answer")
		}
	}
	keys.Set(path, "path")
	for _, h := range headers {
		if strings.EqualFold(h.Key, "Host") {
			keys.Set(h.Value, "host")
		} else if importer.Settable(h.Key) {
			keys.Set(h.Value, "headers", h.Key)
		}
	}
	if status != nil {
		keys.Set(mapping.Amount("["+strings.Join(status, ", ")+"]"), "status")
	}
	if body != "" {
		keys.Set(body, "body")
	}
	if t, ok := duration(s.value("timeout", "check")); ok {
		keys.Set(mapping.Duration(t, time.Millisecond, 10*time.Minute), "timeout")
	}
	return keys
}

// statuses returns the codes that a text stands for, as in 200-204,301; nil if it is anything else.
func statuses(text string) (all []string) {
	const most = 50
	for _, part := range strings.Split(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err := strconv.Atoi(from)
		last, errTo := strconv.Atoi(to)
		if err != nil || errTo != nil || first < 200 || last > 599 || last < first {
			return nil
		}
		for ; first <= last && len(all) < most; first++ {
			all = append(all, strconv.Itoa(first))
		}
	}
	return all
}
