package serve

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"sluice/internal/cookie"
	"sluice/internal/header"
	"sluice/internal/message"
	"sluice/proxy/backend"
)

// Target is a backend as routes use it.
type Target struct {
	Pool       *backend.Pool
	HashBy     *HashBy        // nil unless endpoints are picked by hash
	Sticky     *cookie.Cookie // with the endpoint's ID; nil when clients do not stay with an endpoint
	TryTimeout time.Duration  // of one attempt; 0 means none
	Failures   []int          // statuses that are failures of an endpoint
}

// WeightedTarget is a target and its weight among the targets of a route.
type WeightedTarget struct {
	*Target
	Weight int
}

// HashBy is what of a request decides about its endpoint. Where the request does not
// have it, the client's address decides.
type HashBy struct{ kind, name string }

// NewHashBy returns what text stands for: client, header:NAME, cookie:NAME or query:NAME.
func NewHashBy(text string) *HashBy {
	kind, name, _ := strings.Cut(text, ":")
	return &HashBy{kind, name}
}

func (h *HashBy) hash(r *message.Request, client netip.Addr) uint64 {
	value := ""
	switch h.kind {
	case "header":
		for v := range r.Header.Named(h.name) {
			value = v
			break
		}
	case "cookie":
		if values := r.Cookies(h.name); len(values) > 0 {
			value = values[0]
		}
	case "query":
		query, _ := url.ParseQuery(r.RawQuery) // what is malformed is left out
		value = query.Get(h.name)
	}
	if value == "" {
		return backend.HashOf(client.String())
	}
	return backend.HashOf(h.kind + value)
}

// chooseTarget returns the backend for the request. Where the route has several, it is
// the one that the client had before, or one by weight.
func (x *exchange) chooseTarget() *Target {
	all := x.service.Targets
	if len(all) == 1 {
		return all[0].Target
	}
	c := x.service.SplitCookie
	if c != nil {
		id, _ := c.ID(&x.r)
		for _, t := range all {
			if t.Weight > 0 && backend.HashOf(t.Pool.Name()) == id {
				return t.Target
			}
		}
	}
	total := 0
	for _, t := range all {
		total += t.Weight
	}
	n, i := rand.IntN(total), 0
	for ; n >= all[i].Weight; i++ {
		n -= all[i].Weight
	}
	if c != nil {
		x.setCookie(c, backend.HashOf(all[i].Pool.Name()))
	}
	return all[i].Target
}

// need is what the request asks a backend for.
func (x *exchange) need(t *Target, k backend.Kind) backend.Need {
	n := backend.Need{Kind: k, Client: x.r.Peer, Server: x.methods.localAddress}
	if t.HashBy != nil {
		n.Hash = t.HashBy.hash(&x.r, x.origin.Client)
	}
	if x.origin.Client != n.Client.Addr() {
		n.Client = netip.AddrPortFrom(x.origin.Client, 0)
	}
	if t.Sticky != nil {
		n.Sticky, _ = t.Sticky.ID(&x.r)
	}
	return n
}

// localAddress returns the address that the client has connected to, if it has a port.
func (x *exchange) localAddress() netip.AddrPort {
	if a, ok := x.conn.LocalAddr().(*net.TCPAddr); ok {
		return a.AddrPort()
	}
	return netip.AddrPort{}
}

// noteEndpoint records which endpoint is asked.
func (x *exchange) noteEndpoint(l *backend.Lease) {
	x.record.Backend, x.record.Endpoint = l.Backend(), l.Endpoint()
}

// stickTo makes the client come back to the endpoint, where the target wants that. Had
// is the ID of the endpoint that its cookie names.
func (x *exchange) stickTo(l *backend.Lease, t *Target, had uint64) {
	if t.Sticky == nil {
		return
	}
	x.unsetCookie(t.Sticky)
	if l.ID() != had {
		x.setCookie(t.Sticky, l.ID())
	}
}

// pendingCookie is a cookie that goes out with the answer of a backend.
type pendingCookie struct {
	*cookie.Cookie
	id uint64
}

// setCookie makes the client keep a cookie.
func (x *exchange) setCookie(c *cookie.Cookie, id uint64) {
	x.unsetCookie(c)
	x.cookies = append(x.cookies, pendingCookie{c, id})
}

// unsetCookie undoes setCookie.
func (x *exchange) unsetCookie(c *cookie.Cookie) {
	x.cookies = slices.DeleteFunc(x.cookies, func(p pendingCookie) bool { return p.Cookie == c })
}

// setCookies adds the cookies to an answer.
func (x *exchange) setCookies(h *header.Fields) {
	for _, p := range x.cookies {
		p.Set(h, p.id, x.overTLS())
	}
}
