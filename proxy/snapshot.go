package proxy

import (
	"net/http"
	"time"

	"github.com/gobwas/ws"
	"github.com/rs/zerolog"

	"sluice/proxy/answer"
	"sluice/proxy/backend"
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
	store     *tlsconf.Store // nil without TLS
	listeners map[string]*listener
	httpsPort string // of the first TLS listener, where redirects go

	log             zerolog.Logger
	access          bool
	redact          []string
	shutdownTimeout time.Duration
}

// service is what a route does with the requests it takes: one of pool,
// redirect, respond and files is set.
type service struct {
	group    *relay.Group // its name is the route's identity
	pool     *backend.Pool
	redirect *answer.Redirect
	respond  *answer.Respond
	files    *answer.Files

	rewrite  route.Rewrite
	request  edit
	response edit

	policy           upgrade.Policy
	handshakeTimeout time.Duration
	badGateway       ws.StatusCode
}

// edit is a change to a header section: removals first, then settings.
type edit struct {
	remove []string
	set    map[string]string
}

func (e *edit) apply(h http.Header) {
	for _, name := range e.remove {
		h.Del(name)
	}
	for name, value := range e.set {
		h.Set(name, value)
	}
}
