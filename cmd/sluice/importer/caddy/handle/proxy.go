package handle

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/caddy/caddyfile"
	"sluice/cmd/sluice/importer/mapping"
)

// An upstream is a reverse_proxy while it is read: its backend, and what it does with requests.
type upstream struct {
	w         *walk
	d         *caddyfile.Directive
	addresses []string // of endpoints
	tls       bool
	h2c       *caddyfile.Directive // HTTP/2 in the clear is spoken, as this says
	keys      mapping.Map          // of the backend, besides the endpoints
	endpoint  mapping.Map          // of each endpoint, besides its address
	weights   []int
	primary   bool // the endpoints after the first are in reserve
	health    bool
	notes     []importer.Note // of the backend
}

func (u *upstream) note(kind importer.Kind, d *caddyfile.Directive, why string) {
	u.notes = append(u.notes, importer.Note{Kind: kind, Pos: d.Pos, Text: d.Text, Why: why})
}

// proxy carries a reverse_proxy.
func (w *walk) proxy(st *step, s state) {
	d := st.Directive
	u := &upstream{w: w, d: d}
	for _, address := range st.rest {
		u.to(d, address)
	}
	if f := s.fallback; f != nil && (s.missing() != "" || strings.HasPrefix(last(f.Args), "=")) {
		s = s.refuse(f, "sluice does not look for files before it asks a backend")
	}
	for _, o := range d.Block {
		s = u.option(s, o)
	}
	if len(u.addresses) == 0 {
		w.emit(d, s.refuse(d, "it names no backend that sluice can reach"), importer.Action{})
		return
	}
	if u.health && u.keys.Get("health", "check") == nil {
		u.keys.Set("http", "health", "check")
	}
	hosts := u.hosts()
	for _, o := range caddyfile.All(d.Block, "header_up") {
		s = w.requestHeader(s, &caddyfile.Directive{Name: o.Name, Pos: o.Pos, Text: o.Text}, o.Args, hosts)
	}
	if u.tls && !hasHost(d) {
		if len(hosts) == 1 {
			s = s.set(mapping.Literal(hosts[0]), "request", "set_headers", "Host")
		}
		s = s.note(importer.Remark, d, "over https Caddy sends the name of the backend as Host since version 2.11, before the one that the client asks for")
	}
	w.emit(d, s, importer.Action{Backend: u.backend()})
}

// hasHost reports whether a header_up is about Host.
func hasHost(d *caddyfile.Directive) bool {
	return slices.ContainsFunc(caddyfile.All(d.Block, "header_up"), func(o *caddyfile.Directive) bool { return strings.EqualFold(strings.TrimLeft(o.Arg(0), "+-"), "Host") })
}

// hosts returns the different values that Host has where it is the address of the backend.
func (u *upstream) hosts() (hosts []string) {
	for _, address := range u.addresses {
		_, host, ok := strings.Cut(address, "://")
		if !ok {
			host = address
		}
		host = strings.TrimSuffix(host, ":443")
		if !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// option reads one line of the block.
func (u *upstream) option(s state, o *caddyfile.Directive) state {
	switch o.Name {
	case "to":
		for _, address := range o.Args {
			u.to(o, address)
		}
	case "dynamic":
		u.dynamic(o)
	case "lb_policy":
		u.policy(o)
	case "lb_retries":
		if n, err := strconv.Atoi(o.Arg(0)); err == nil && n >= 0 {
			u.keys.Set(min(n+1, 20), "retry", "tries")
		}
	case "lb_try_duration":
		if t, ok := caddyfile.Duration(o.Arg(0)); ok {
			u.keys.Set(mapping.Duration(t, time.Millisecond, 10*time.Minute), "retry", "timeout")
		}
	case "flush_interval", "request_buffers", "response_buffers", "stream_buffer_size", "lb_try_interval", "verbose_logs", "proxy_status_name", "stream_close_delay", "header_up":
	case "stream_timeout":
		if t, ok := caddyfile.Duration(o.Arg(0)); ok {
			return s.set(mapping.Duration(t, time.Millisecond, 365*24*time.Hour), "websocket", "max_lifetime")
		}
	case "trusted_proxies":
		return s.note(importer.Lost, o, "'trusted_proxies' of sluice is for all routes: list them there if they stand in front of all")
	case "header_down":
		return u.w.responseHeaders(s, &caddyfile.Directive{Name: o.Name, Pos: o.Pos, Text: o.Text}, o.Args, nil)
	case "transport":
		return u.transport(s, o)
	case "lb_retry_match":
		u.note(importer.Lost, o, "sluice tries again what may be done twice")
	case "unhealthy_latency":
		u.note(importer.Lost, o, "sluice judges endpoints by failures, not by how long they take")
	case "unhealthy_request_count":
		u.limit(o)
	case "rewrite":
		return rewrite(s, o, o.Args)
	default:
		if strings.HasPrefix(o.Name, "health_") {
			u.check(o)
			return s
		}
		if u.passive(o) {
			return s
		}
		return s.refuse(o, "sluice does not know "+o.Name+", or has nothing like it")
	}
	return s
}

var portRange = regexp.MustCompile(`^(.*):([0-9]{1,5})-([0-9]{1,5})$`)

// to adds an endpoint, or those of a range of ports.
func (u *upstream) to(d *caddyfile.Directive, address string) {
	const most = 100
	if m := portRange.FindStringSubmatch(address); m != nil {
		from, _ := strconv.Atoi(m[2])
		to, _ := strconv.Atoi(m[3])
		if to < from || to-from >= most {
			u.note(importer.Refused, d, "not a range of at most 100 ports")
			to = from
		}
		for port := from; port <= to; port++ {
			u.to(d, m[1]+":"+strconv.Itoa(port))
		}
		return
	}
	scheme, rest, isURL := strings.Cut(address, "://")
	if !isURL {
		scheme, rest = "", address
	}
	socket, isSocket := strings.CutPrefix(rest, "unix/")
	switch {
	case isSocket && scheme == "":
		u.addresses = append(u.addresses, "unix:"+socket)
		return
	case caddyfile.HasPlaceholder(address) || strings.HasPrefix(address, "{") || strings.ContainsAny(rest, "/?#") || !slices.Contains([]string{"", "http", "https", "h2c"}, scheme):
		u.note(importer.Refused, d, "sluice reaches backends by host and port, http, https, h2c or a Unix socket: not "+address)
		return
	}
	if scheme == "https" {
		u.tls = true
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		host, port = strings.Trim(rest, "[]"), "80"
		if scheme == "https" {
			port = "443"
		}
	}
	if host == "" {
		host = "localhost"
	}
	rest = net.JoinHostPort(host, port)
	if scheme == "https" || scheme == "h2c" {
		rest = scheme + "://" + rest
	}
	u.addresses = append(u.addresses, rest)
}

// dynamic carries names whose addresses are endpoints.
func (u *upstream) dynamic(d *caddyfile.Directive) {
	switch {
	case len(d.Block) > 0 || caddyfile.HasPlaceholder(strings.Join(d.Args, " ")):
	case d.Arg(0) == "srv" && len(d.Args) == 2:
		u.addresses = append(u.addresses, "srv://"+d.Arg(1))
		return
	case d.Arg(0) == "a" && len(d.Args) == 3:
		u.addresses = append(u.addresses, net.JoinHostPort(d.Arg(1), d.Arg(2)))
		return
	}
	u.note(importer.Refused, d, "sluice looks up names in DNS, their addresses and their SRV records, with the options of 'dns'")
}

// policy carries how an endpoint is picked.
func (u *upstream) policy(d *caddyfile.Directive) {
	balance := map[string]string{
		"random": "random_two", "random_choose": "random_two", "round_robin": "round_robin", "weighted_round_robin": "round_robin",
		"least_conn": "least_connections", "ip_hash": "hash", "client_ip_hash": "hash", "header": "hash", "query": "hash",
	}[d.Arg(0)]
	if balance != "" {
		u.keys.Set(balance, "balance")
	}
	switch d.Arg(0) {
	case "header", "query":
		if d.Arg(1) == "" || !importer.Settable(d.Arg(1)) {
			u.note(importer.Refused, d, "it names nothing to hash")
			return
		}
		u.keys.Set(d.Arg(0)+":"+d.Arg(1), "hash_by")
	case "weighted_round_robin":
		for _, arg := range d.Args[1:] {
			n, err := strconv.Atoi(arg)
			if err != nil || n < 0 {
				n = 1
			}
			u.weights = append(u.weights, min(n, 1000))
		}
	case "cookie":
		u.keys.Set(mapping.Map{{Key: "cookie", Value: d.Arg(1)}}, "sticky")
		if d.Arg(1) == "" {
			u.keys.Set(mapping.Map{{Key: "cookie", Value: "lb"}}, "sticky")
		}
	case "first":
		u.primary = true
	}
	if balance == "" && d.Arg(0) != "cookie" && d.Arg(0) != "first" {
		u.note(importer.Lost, d, "sluice has no such policy; it picks the endpoint with the fewest sessions and requests")
	}
}

// limit bounds what an endpoint has at once.
func (u *upstream) limit(d *caddyfile.Directive) {
	n, err := strconv.Atoi(d.Arg(0))
	switch {
	case err != nil || n < 0:
		u.note(importer.Refused, d, "not a number")
	case n > 0 && !importer.MaxConnections(&u.endpoint, n):
		u.note(importer.Refused, d, "sluice counts requests and sessions apart: one for both together has no counterpart")
	}
}

// check carries one line about health checks.
func (u *upstream) check(d *caddyfile.Directive) {
	n, notNumber := strconv.Atoi(d.Arg(0))
	t, isTime := caddyfile.Duration(d.Arg(0))
	u.health = true
	switch d.Name {
	case "health_uri", "health_path":
		u.keys.Set(d.Arg(0), "health", "path")
	case "health_interval":
		if isTime {
			u.keys.Set(mapping.Duration(t, 100*time.Millisecond, time.Hour), "health", "interval")
		}
	case "health_timeout":
		if isTime {
			u.keys.Set(mapping.Duration(t, time.Millisecond, 10*time.Minute), "health", "timeout")
		}
	case "health_passes", "health_fails":
		if key := map[string]string{"health_passes": "rise", "health_fails": "fall"}[d.Name]; notNumber == nil && n > 0 {
			u.keys.Set(min(n, 100), "health", key)
		}
	case "health_headers":
		for _, h := range d.Block {
			switch value := strings.Join(h.Args, ", "); {
			case strings.EqualFold(h.Name, "Host"):
				u.keys.Set(value, "health", "host")
			case importer.Settable(h.Name) && !caddyfile.HasPlaceholder(value):
				u.keys.Set(value, "health", "headers", h.Name)
			}
		}
	case "health_status":
		if code.MatchString(d.Arg(0)) {
			u.keys.Set(mapping.Amount("["+d.Arg(0)+"]"), "health", "status")
			return
		}
		if d.Arg(0) != "2xx" {
			u.note(importer.Lost, d, "sluice takes 200 to 299 for well unless it is given a list: 'status'")
		}
	case "health_body":
		if regexp.QuoteMeta(d.Arg(0)) == d.Arg(0) && d.Arg(0) != "" {
			u.keys.Set(d.Arg(0), "health", "body")
			return
		}
		u.note(importer.Lost, d, "sluice looks for a text in the answer, not for an expression")
	default:
		u.note(importer.Lost, d, "sluice has nothing like it for checks")
	}
}

// passive carries one line about how endpoints are judged by how they serve.
func (u *upstream) passive(d *caddyfile.Directive) bool {
	switch d.Name {
	case "fail_duration":
		if t, ok := caddyfile.Duration(d.Arg(0)); ok {
			u.keys.Set(mapping.Duration(t, 100*time.Millisecond, 5*time.Minute), "passive", "eject")
			u.keys.Set(mapping.Duration(t, time.Second, time.Hour), "passive", "window")
		}
	case "max_fails":
		if n, err := strconv.Atoi(d.Arg(0)); err == nil && n > 0 {
			u.keys.Set(min(n, 10_000), "passive", "failures")
		}
	case "unhealthy_status":
		if len(d.Args) == 0 || slices.ContainsFunc(d.Args, func(arg string) bool { return !code.MatchString(arg) || arg[0] != '5' }) {
			u.note(importer.Lost, d, "sluice takes single statuses of 500 to 599 for failures: 'statuses'")
			return true
		}
		statuses := slices.Compact(slices.Sorted(slices.Values(d.Args)))
		u.keys.Set(mapping.Amount("["+strings.Join(statuses, ", ")+"]"), "passive", "statuses")
	default:
		return false
	}
	return true
}

// backend returns the name of the backend.
func (u *upstream) backend() string {
	c := u.w.config
	var endpoints []mapping.Map
	for i, address := range u.addresses {
		switch {
		case !u.tls && u.h2c == nil || strings.Contains(address, "://"):
		case strings.HasPrefix(address, "unix:"):
			u.note(importer.Refused, u.d, "sluice speaks HTTP/1.1 in the clear over a Unix socket")
		case u.tls:
			address = "https://" + address
		default:
			address = "h2c://" + address
		}
		e := mapping.Map{{Key: "address", Value: address}}
		if i < len(u.weights) {
			e.Set(max(u.weights[i], 1), "weight")
			if u.weights[i] == 0 {
				e.Set(true, "drain")
			}
		}
		if u.primary && i > 0 {
			e.Set(true, "backup")
		}
		endpoints = append(endpoints, append(e, u.endpoint...))
	}
	keys := mapping.Map{{Key: "endpoints", Value: endpoints}}
	if len(u.endpoint) == 0 && len(u.weights) == 0 && (!u.primary || len(endpoints) == 1) {
		var addresses []string
		for _, e := range endpoints {
			addresses = append(addresses, e.Get("address").(string))
		}
		keys.Set(addresses, "endpoints")
	}
	if balance := u.keys.Get("balance"); balance == nil && len(endpoints) > 1 && u.keys.Get("sticky") == nil && !u.primary {
		keys.Set("random_two", "balance") // Caddy's default is random
	} else if len(endpoints) == 1 {
		u.keys = slices.DeleteFunc(slices.Clone(u.keys), func(e mapping.Entry) bool { return e.Key == "balance" || e.Key == "hash_by" })
	}
	keys = append(keys, u.keys...)
	signature := fmt.Sprint(keys, u.notes)
	if name, ok := c.backends[signature]; ok {
		return name
	}
	_, like, found := strings.Cut(u.addresses[0], "://")
	if !found {
		like = strings.TrimPrefix(u.addresses[0], "unix:")
	}
	b := c.plan.AddBackend(like)
	b.Keys, b.Notes = keys, u.notes
	c.backends[signature] = b.Name
	return b.Name
}
