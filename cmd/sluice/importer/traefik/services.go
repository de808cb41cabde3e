package traefik

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/mapping"
	"sluice/cmd/sluice/importer/traefik/document"
)

// serve makes the rule by which the service of a router answers the requests of s.
func (c *config) serve(r *router, s state) {
	named := r.n.Get("service")
	name := local(r.n.String("service"))
	n := c.root.Get("http", "services", name)
	switch {
	case named == nil:
		c.answer(r, s.refuse(r.n, "it names no service"), importer.Action{})
	case strings.HasSuffix(name, "@internal"):
		c.answer(r, s.refuse(named, "sluice has an interface of its own: 'admin'"), importer.Action{})
	case n == nil || len(n.Entries) != 1:
		c.answer(r, s.refuse(named, missing("service", name)), importer.Action{})
	default:
		c.service(r, name, n, s)
	}
}

// service carries a service of one kind or another.
func (c *config) service(r *router, name string, n *document.Node, s state) {
	kind := strings.ToLower(n.Entries[0].Key)
	inner := n.Entries[0].Value
	switch kind {
	case "loadbalancer":
		backend, s := c.balanced(name, inner, s)
		c.answer(r, s, importer.Action{Backend: backend})
	case "weighted":
		c.weighted(r, inner, s)
	case "mirroring":
		c.mirroring(r, inner, s)
	case "failover":
		s = s.note(importer.Lost, n, "sluice has endpoints in reserve in one backend: 'backup'")
		backend, s := c.named(inner.Get("service"), s)
		c.answer(r, s, importer.Action{Backend: backend})
	default:
		c.answer(r, s.refuse(n, "sluice does not know "+n.Entries[0].Key), importer.Action{})
	}
}

// named returns the backend of a service that another one names, which has to be a plain one.
func (c *config) named(named *document.Node, s state) (string, state) {
	name := local(named.String())
	n := c.root.Get("http", "services", name, "loadBalancer")
	if n == nil {
		at := named
		if at == nil {
			at = c.root.Get("http", "services")
		}
		return "", s.refuse(at, "sluice sends to backends: "+name+" is no loadBalancer in these files")
	}
	return c.balanced(name, n, s)
}

// weighted carries shares of services.
func (c *config) weighted(r *router, n *document.Node, s state) {
	var parts []importer.Part
	before := s.Keys
	for i, item := range n.Get("services").Items() {
		weight, ok := item.Int("weight")
		if !ok {
			weight = 1
		}
		other := s
		other.Keys = before
		backend, other := c.named(item.Get("name"), other)
		if i > 0 && !reflect.DeepEqual(other.Keys, s.Keys) {
			other = other.refuse(item, "sluice sends the same request to all parts: a Host or a time of one of them has no counterpart")
		}
		s = other
		if backend != "" {
			parts = append(parts, importer.Part{Backend: backend, Weight: min(max(weight, 0), 1000)})
		}
	}
	if n.Get("sticky", "cookie") != nil {
		if name := n.String("sticky", "cookie", "name"); name != "" {
			s = s.set(name, "split_cookie")
		} else {
			s = s.set("split", "split_cookie")
		}
	}
	c.answer(r, s, importer.Action{Split: parts})
}

// mirroring carries a copy of requests.
func (c *config) mirroring(r *router, n *document.Node, s state) {
	mirrors := n.Get("mirrors").Items()
	backend, s := c.named(n.Get("service"), s)
	if len(mirrors) == 1 && mirrors[0].String("percent") == "100" {
		if to, after := c.named(mirrors[0].Get("name"), s); to != "" && !after.Refused() {
			s = after.set(to, "mirror")
			mirrors = nil
		}
	}
	for _, m := range mirrors {
		s = s.note(importer.Lost, m, "sluice mirrors to one backend: see 'mirror', and its 'share'")
	}
	c.answer(r, s, importer.Action{Backend: backend})
}

// balanced returns the backend of a loadBalancer, and what it makes of requests.
func (c *config) balanced(name string, n *document.Node, s state) (string, state) {
	var keys mapping.Map
	var notes []importer.Note
	note := func(kind importer.Kind, at *document.Node, why string) {
		notes = append(notes, importer.Note{Kind: kind, Pos: at.Pos, Text: at.Text(), Why: why})
	}
	var hosts []string
	for _, server := range n.Get("servers").Items() {
		u, err := url.Parse(server.String("url"))
		if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "h2c"}, u.Scheme) || server.Bool("preservePath") && u.Path != "" {
			note(importer.Refused, server, "sluice reaches servers by http, https or h2c, without a path of their own")
			continue
		}
		address := u.Host
		if u.Port() == "" && u.Scheme == "http" {
			address += ":80"
		}
		if u.Scheme != "http" {
			address = u.Scheme + "://" + u.Host
		}
		e := mapping.Map{{Key: "address", Value: address}}
		if weight, ok := server.Int("weight"); ok && weight > 0 {
			e.Set(min(weight, 1000), "weight")
		}
		addEndpoint(&keys, e)
		if !slices.Contains(hosts, u.Host) {
			hosts = append(hosts, u.Host)
		}
	}
	if keys == nil {
		return "", s.refuse(n, "it has no servers that sluice can reach")
	}
	c.balance(n, &keys, note)
	health(n.Get("healthCheck"), &keys, note)
	s = c.transport(n.String("serversTransport"), n, &keys, note, s)
	if s.retry > 0 {
		keys.Set(s.retry, "retry", "tries")
	}
	if n.String("passHostHeader") == "false" {
		if len(hosts) == 1 {
			s = s.set(mapping.Literal(hosts[0]), "request", "set_headers", "Host")
		} else {
			s = s.refuse(n, "sluice sends the host that the client asks for, or one for all endpoints")
		}
	}
	signature := fmt.Sprint(name, keys, notes)
	if have, ok := c.backends[signature]; ok {
		return have, s
	}
	b := c.plan.AddBackend(name)
	b.Keys, b.Notes = keys, notes
	c.backends[signature] = b.Name
	return b.Name, s
}

// addEndpoint adds an endpoint: plain addresses while none has anything else.
func addEndpoint(keys *mapping.Map, e mapping.Map) {
	all, isMaps := keys.Get("endpoints").([]mapping.Map)
	addresses, _ := keys.Get("endpoints").([]string)
	if len(e) == 1 && !isMaps {
		keys.Set(append(addresses, e.Get("address").(string)), "endpoints")
		return
	}
	for _, address := range addresses {
		all = append(all, mapping.Map{{Key: "address", Value: address}})
	}
	keys.Set(append(all, e), "endpoints")
}

// balance carries how a server is picked, and how it is judged by how it serves.
func (c *config) balance(n *document.Node, keys *mapping.Map, note func(importer.Kind, *document.Node, string)) {
	if len(n.Get("servers").Items()) > 1 {
		strategy := strings.ToLower(n.String("strategy"))
		balance, ok := map[string]string{"": "round_robin", "wrr": "round_robin", "p2c": "random_two", "hrw": "hash", "leasttime": "least_connections"}[strategy]
		if !ok {
			note(importer.Lost, n.Get("strategy"), "sluice has no such strategy")
			balance = "round_robin"
		}
		keys.Set(balance, "balance")
	}
	if cookie := n.Get("sticky", "cookie"); cookie != nil {
		sticky := mapping.Map{}
		if name := cookie.String("name"); name != "" {
			sticky.Set(name, "cookie")
		}
		if age, ok := cookie.Int("maxAge"); ok && age > 0 {
			sticky.Set(mapping.Duration(time.Duration(min(age, 86_400_000))*time.Second, time.Second, 1000*24*time.Hour), "max_age")
		}
		if site := strings.ToLower(cookie.String("sameSite")); site == "strict" || site == "none" && c.secure() {
			sticky.Set(site, "same_site")
		}
		keys.Set(sticky, "sticky")
		if len(sticky) == 0 {
			keys.Set(true, "sticky")
		}
	}
	if p := n.Get("passiveHealthCheck"); p != nil {
		if fails, ok := p.Int("maxFailedAttempts"); ok && fails > 0 {
			keys.Set(min(fails, 10_000), "passive", "failures")
		}
		if t, ok := duration(p.String("failureWindow")); ok {
			keys.Set(mapping.Duration(t, time.Second, time.Hour), "passive", "window")
		}
	}
}

// health carries the health check of servers.
func health(n *document.Node, keys *mapping.Map, note func(importer.Kind, *document.Node, string)) {
	if n == nil {
		return
	}
	keys.Set("http", "health", "check")
	n.Each(func(key string, value *document.Node) {
		t, isTime := duration(value.Value)
		switch strings.ToLower(key) {
		case "path":
			keys.Set(value.Value, "health", "path")
		case "hostname":
			keys.Set(value.Value, "health", "host")
		case "interval":
			if isTime {
				keys.Set(mapping.Duration(t, 100*time.Millisecond, time.Hour), "health", "interval")
			}
		case "timeout":
			if isTime {
				keys.Set(mapping.Duration(t, time.Millisecond, 10*time.Minute), "health", "timeout")
			}
		case "headers":
			value.Each(func(name string, v *document.Node) {
				if importer.Settable(name) && !strings.EqualFold(name, "Host") {
					keys.Set(v.Value, "health", "headers", name)
				}
			})
		case "status":
			if status, ok := value.Int(); ok && status >= 200 && status <= 599 {
				keys.Set(mapping.Amount(fmt.Sprintf("[%d]", status)), "health", "status")
			}
		case "followredirects", "unhealthyinterval", "mode":
			if strings.EqualFold(value.Value, "grpc") {
				note(importer.Lost, value, "sluice checks with HTTP, WebSockets or TCP")
			}
		default:
			note(importer.Lost, value, "sluice has nothing like it for checks")
		}
	})
}

// transport carries how servers are spoken to.
func (c *config) transport(name string, by *document.Node, keys *mapping.Map, note func(importer.Kind, *document.Node, string), s state) state {
	n := c.root.Get("serversTransport")
	if name != "" && local(name) != "default" {
		if n = c.root.Get("http", "serversTransports", local(name)); n == nil {
			note(importer.Refused, by, missing("serversTransport", name))
			return s
		}
	}
	n.Each(func(key string, value *document.Node) {
		switch strings.ToLower(key) {
		case "servername":
			keys.Set(value.Value, "tls", "server_name")
		case "insecureskipverify":
			if n.Bool(key) {
				keys.Set(true, "tls", "insecure")
			}
		case "rootcas":
			if files := value.Strings(); len(files) == 1 && !strings.Contains(files[0], "\n") {
				keys.Set(c.absolute(files[0]), "tls", "ca")
			} else {
				note(importer.Refused, value, "sluice reads authorities from one file: 'ca'")
			}
		case "certificates":
			items := value.Items()
			if len(items) != 1 || items[0].String("certFile") == "" {
				note(importer.Refused, value, "sluice shows one certificate from files: 'cert' and 'key'")
				return
			}
			keys.Set(c.absolute(items[0].String("certFile")), "tls", "cert")
			keys.Set(c.absolute(items[0].String("keyFile")), "tls", "key")
		case "maxidleconnsperhost":
			if most, ok := value.Int(); ok && most > 0 {
				keys.Set(min(most, 100_000), "keepalive", "idle")
			}
		case "forwardingtimeouts":
			if t, ok := duration(value.String("dialTimeout")); ok {
				keys.Set(mapping.Duration(t, time.Millisecond, 10*time.Minute), "connect_timeout")
			}
			if t, ok := duration(value.String("idleConnTimeout")); ok {
				keys.Set(mapping.Duration(t, time.Millisecond, 24*time.Hour), "keepalive", "timeout")
			}
			if t, ok := duration(value.String("responseHeaderTimeout")); ok {
				s = s.set(mapping.Duration(t, time.Millisecond, 24*time.Hour), "timeouts", "response")
			}
		case "disablehttp2":
		default:
			note(importer.Refused, value, "sluice does not know "+key+", or has nothing like it")
		}
	})
	return s
}
