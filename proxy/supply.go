package proxy

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	"sluice/proxy/backend"
)

// supply is a backend as routes use it.
type supply struct {
	pool       *backend.Pool
	hashBy     *hashBy       // nil unless endpoints are picked by hash
	sticky     *sticky       // nil when clients do not stay
	tryTimeout time.Duration // 0 means none
	failures   []int         // statuses that are failures of an endpoint
}

// share is a supply and how much of a route's work it gets.
type share struct {
	*supply
	weight int
}

// choose returns who the request is for: where the route has several backends,
// the one that the client had before, or one by weight.
func (x *exchange) choose() *supply {
	all := x.svc.shares
	if len(all) == 1 {
		return all[0].supply
	}
	if c := x.svc.splitCookie; c != nil {
		id, _ := c.of(x.r)
		for _, s := range all {
			if s.weight > 0 && backend.HashOf(s.pool.Name()) == id {
				return s.supply
			}
		}
	}
	total := 0
	for _, s := range all {
		total += s.weight
	}
	n, i := rand.IntN(total), 0
	for ; n >= all[i].weight; i++ {
		n -= all[i].weight
	}
	if c := x.svc.splitCookie; c != nil {
		x.keep(c, backend.HashOf(all[i].pool.Name()))
	}
	return all[i].supply
}

// hashBy is what of a request decides where it goes; where it is not there, the
// address of the client does.
type hashBy struct{ kind, name string }

func newHashBy(text string) *hashBy {
	kind, name, _ := strings.Cut(text, ":")
	return &hashBy{kind, name}
}

func (h *hashBy) of(x *exchange) uint64 {
	value := ""
	switch h.kind {
	case "header":
		value = x.r.Header.Get(h.name)
	case "cookie":
		if c, err := x.r.Cookie(h.name); err == nil {
			value = c.Value
		}
	case "query":
		value = x.r.URL.Query().Get(h.name)
	}
	if value == "" {
		return backend.HashOf(x.origin.Client.String())
	}
	return backend.HashOf(h.kind + value)
}

// need is what the request asks a backend for.
func (x *exchange) need(s *supply, k backend.Kind) backend.Need {
	n := backend.Need{Kind: k, Client: x.client.wire.Peer()}
	if s.hashBy != nil {
		n.Hash = s.hashBy.of(x)
	}
	if x.origin.Client != n.Client.Addr() {
		n.Client = netip.AddrPortFrom(x.origin.Client, 0)
	}
	if a, ok := x.client.wire.LocalAddr().(*net.TCPAddr); ok {
		n.Server = a.AddrPort()
	}
	if s.sticky != nil {
		n.Sticky, _ = s.sticky.of(x.r)
	}
	return n
}

// use notes which endpoint answers, and has the client come back to it.
func (x *exchange) use(l *backend.Lease, s *supply, had uint64) {
	x.record.Backend, x.record.Endpoint = l.Backend(), l.Endpoint()
	if s.sticky != nil {
		x.keep(s.sticky, l.ID())
		if l.ID() == had {
			x.forget(s.sticky)
		}
	}
}
