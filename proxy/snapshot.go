package proxy

import (
	"net/netip"
	"slices"
	"time"

	"github.com/gobwas/ws"
	"github.com/rs/zerolog"

	"sluice/config"
	"sluice/internal/wire"
	"sluice/proxy/answer"
	"sluice/proxy/backend"
	"sluice/proxy/compress"
	"sluice/proxy/forward"
	"sluice/proxy/relay"
	"sluice/route"
	"sluice/tlsconf"
	"sluice/upgrade"
)

// snapshot is everything one configuration decides. It never changes, and a
// session never holds on to it.
type snapshot struct {
	routes    *route.Table[*service]
	services  map[string]*service // by route identity
	pools     map[string]*backend.Pool
	settings  map[string]backend.Settings // of the pools, from Apply on
	supplies  map[string]*supply
	cookies   *signer        // nil unless somebody needs it
	store     *tlsconf.Store // nil without TLS
	notes     []string       // for the operator
	listeners map[string]*listener
	httpsPort string         // of the first TLS listener, where redirects go
	proxies   []config.Proxy // trusted ones

	log             zerolog.Logger
	access          bool
	via             bool
	redact          []string
	shutdownTimeout time.Duration
	maxSessions     int
}

// trusts reports whether a is the address of a proxy whose word counts.
func (s *snapshot) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(s.proxies, func(p config.Proxy) bool { return p.Contains(a) })
}

// believes reports whether what the peer of c says of its requests' way counts.
// A peer that a PROXY header named has an address, on a Unix socket too.
func (s *snapshot) believes(c *wire.Conn) bool {
	switch peer := c.Peer().Addr(); {
	case c.Anonymous():
		return false
	case peer.IsValid():
		return s.trusts(peer)
	}
	return slices.ContainsFunc(s.proxies, func(p config.Proxy) bool { return p.Unix })
}

// service is what a route does with the requests it takes: one of shares,
// redirect, respond and files is set.
type service struct {
	group    *relay.Group // its name is the route's identity
	shares   []share      // of its work, by backend
	redirect *answer.Redirect
	respond  *answer.Respond
	files    *answer.Files

	splitCookie *sticky // nil when clients do not stay with a backend
	mirror      *mirror // nil without

	rewrite  route.Rewrite
	request  edit
	exchange forward.Exchange // what is the same for all requests
	minRate  float64          // bytes a second that a client sends or takes at least; 0 means any

	compress     *compress.Compressor // nil when off
	cors         *answer.CORS         // nil when off
	pages        *answer.Pages        // nil without
	response     edit
	cacheControl string
	secure       map[string]string
	hsts         string

	policy           upgrade.Policy
	handshakeTimeout time.Duration
	badGateway       ws.StatusCode
	admission        admission
	rules            relay.Rules
	keepAlive        time.Duration // of the connections of a session
	userTimeout      time.Duration
}
