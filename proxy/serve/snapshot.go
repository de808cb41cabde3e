package serve

import (
	"net/netip"
	"slices"
	"time"

	"github.com/gobwas/ws"
	"github.com/rs/zerolog"

	"sluice/internal/cookie"
	"sluice/internal/outline"
	"sluice/internal/telemetry/metrics"
	"sluice/internal/wire"
	"sluice/proxy/answer"
	"sluice/proxy/compress"
	"sluice/proxy/forward"
	"sluice/proxy/headers"
	"sluice/proxy/relay"
	"sluice/route"
	"sluice/tlsconf"
	"sluice/upgrade"
)

// Snapshot is everything that one configuration decides about requests. It never
// changes, and a session never holds a reference to it (ADR 2).
type Snapshot struct {
	Routes   *route.Table[*Service]
	Services map[string]*Service // by the identity of their routes
	Outline  outline.Outline     // which sessions live on
	Store    *tlsconf.Store      // nil without TLS

	TrustedProxies []netip.Prefix
	TrustUnix      bool   // peers on unix sockets are trusted proxies
	HTTPSPort      string // where redirects to https go

	Log         zerolog.Logger
	AccessLog   bool
	Redact      []string // names of query parameters whose values are not logged
	Via         bool
	MaxSessions int // of all routes; 0 means any number
}

// Trusts reports whether a is the address of a trusted proxy.
func (s *Snapshot) Trusts(a netip.Addr) bool {
	return slices.ContainsFunc(s.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// trustsPeer reports whether the peer of c is a trusted proxy. A peer that a PROXY
// header named has an address, on a unix socket too.
func (s *Snapshot) trustsPeer(c *wire.Conn) bool {
	switch peer := c.Peer().Addr(); {
	case c.Anonymous():
		return false
	case peer.IsValid():
		return s.Trusts(peer)
	}
	return s.TrustUnix
}

// Service is what a route does with the requests that it matches. One of Targets,
// Redirect, Respond and Files is set.
type Service struct {
	Group    *relay.Group     // its name is the route's identity
	Metrics  *metrics.Route   // nil counts nothing
	Targets  []WeightedTarget // the backends
	Redirect *answer.Redirect
	Respond  *answer.Respond
	Files    *answer.Files

	SplitCookie *cookie.Cookie // nil when clients do not stay with a backend
	Mirror      *Mirror        // nil without

	Rewrite         route.Rewrite
	Forward         forward.Exchange // what is the same for all requests
	RequestHeaders  headers.Edit
	ResponseHeaders headers.Response
	MinRate         float64 // bytes a second that a client must send or take at least; 0 means any

	Compress *compress.Compressor // nil when off
	CORS     *answer.CORS         // nil when off
	Pages    *answer.Pages        // nil without

	Policy           upgrade.Policy
	HandshakeTimeout time.Duration
	BadGateway       ws.StatusCode // what a client is told when the backend is lost
	Admission        Admission
	Rules            relay.Rules
	KeepAlive        time.Duration // of the connections of a session
	UserTimeout      time.Duration
	TapPayload       int // most bytes of a payload that a tap of its sessions shows; 0 means none
}

// Tap returns what a tap of the route's sessions may show: headers or payload. S may be nil, for a route
// that is gone.
func (s *Service) Tap() string {
	if s != nil && s.TapPayload > 0 {
		return "payload"
	}
	return "headers"
}
