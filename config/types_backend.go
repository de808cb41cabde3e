package config

import (
	"time"

	"sluice/config/units"
)

// Backend is a named group of endpoints.
type Backend struct {
	Pos  Pos    `yaml:"-"`
	Name string `yaml:"-"` // the key; for an address written in a route, that address

	Endpoints      []Endpoint    `yaml:"endpoints" required:"true" doc:"Addresses of this backend."`
	Balance        string        `yaml:"balance" default:"least_connections" enum:"least_connections,round_robin,random_two,hash" doc:"Which endpoint is picked: the one with the fewest live sessions and requests for its weight, the next one in turn, the less busy of two taken at random, or by a hash of 'hash_by', unless that endpoint has far more than its share."`
	HashBy         string        `yaml:"hash_by" default:"client" doc:"What the hash is of: 'client' (its address), 'header:NAME', 'cookie:NAME' or 'query:NAME'. Where the request lacks it, the client's address. Only with 'balance: hash'."`
	Sticky         *Sticky       `yaml:"sticky" switch:"" doc:"Keep a client at the endpoint it had before, by a cookie: true, or how."`
	Health         *Health       `yaml:"health" doc:"Ask endpoints whether they are well. Absent: only 'passive' judges them."`
	Passive        Passive       `yaml:"passive" doc:"Judge endpoints by how they serve."`
	SlowStart      time.Duration `yaml:"slow_start" default:"off" off:"" min:"1s" max:"1h" doc:"Time in which an endpoint that comes up grows to its full share."`
	Retry          Retry         `yaml:"retry" doc:"How often a request or handshake that fails is tried at other endpoints."`
	Queue          Queue         `yaml:"queue" doc:"Where requests and handshakes wait when all endpoints are full."`
	Rebalance      Rebalance     `yaml:"rebalance" doc:"Move live sessions when endpoints are added."`
	DrainTime      time.Duration `yaml:"drain_time" default:"30s" min:"0s" max:"1d" doc:"Time over which the sessions of an endpoint that is drained end."`
	DNS            DNS           `yaml:"dns" doc:"How the names of endpoints are looked up."`
	ConnectTimeout time.Duration `yaml:"connect_timeout" default:"5s" min:"1ms" max:"10m" doc:"Limit for connecting to one endpoint, TLS included."`
	KeepAlive      KeepAlive     `yaml:"keepalive" doc:"How connections for requests are kept for the next request."`
	HTTP2          bool          `yaml:"http2" doc:"Offer HTTP/2 to https endpoints for requests. WebSockets follow 'websocket_over'."`
	WebSocketOver  string        `yaml:"websocket_over" default:"http/1.1" enum:"http/1.1,h2" doc:"'h2' opens WebSockets on HTTP/2 streams (RFC 8441) at https, wss and h2c endpoints that offer it; the others, and those that do not, get them over HTTP/1.1."`
	ProxyProtocol  string        `yaml:"proxy_protocol" default:"off" off:"" enum:"v1,v2" doc:"Send a PROXY header of this version with the client's address in front of every connection, which is then that client's alone."` // "" when off
	TLS            BackendTLS    `yaml:"tls" doc:"How https and wss endpoints are spoken to."`
}

// Endpoint is one address of a backend, or a name that stands for several.
type Endpoint struct {
	Pos Pos `yaml:"-"`

	Text        string `yaml:"address" short:"" required:"true" doc:"'host:port', 'unix:/path', or a URL with http, https, h2c, ws or wss (h2c is HTTP/2 in the clear, ws is http, wss is https); 'srv://name', 'srv+https://name' and so on for the SRV records of a name."`
	Weight      int    `yaml:"weight" default:"1" min:"1" max:"1000" doc:"Share of the work, next to the weights of the others."`
	Backup      bool   `yaml:"backup" doc:"Gets work only when all endpoints that are no backup are down."`
	MaxSessions int    `yaml:"max_sessions" default:"off" off:"" min:"1" max:"10000000" doc:"Sessions at once, of each address it stands for."`
	MaxRequests int    `yaml:"max_requests" default:"off" off:"" min:"1" max:"10000000" doc:"Requests at once, of each address it stands for."`
	Drain       bool   `yaml:"drain" doc:"Takes nothing new; its sessions end over 'drain_time'."`

	Network string `yaml:"-"` // "tcp", "unix" or "srv"
	Address string `yaml:"-"` // host:port (the port is always there), a path, or the name of SRV records
	TLS     bool   `yaml:"-"`
	H2C     bool   `yaml:"-"` // requests go over HTTP/2 with prior knowledge, handshakes where WebSocketOver says
}

// Sticky keeps a client at an endpoint.
type Sticky struct {
	Cookie   string        `yaml:"cookie" doc:"Name of the cookie. Default: 'sluice_' and the name of the backend."`
	MaxAge   time.Duration `yaml:"max_age" min:"1s" max:"1000d" doc:"How long a browser keeps it. Absent: until it is closed."` // 0 when absent
	SameSite string        `yaml:"same_site" default:"lax" enum:"lax,strict,none" doc:"SameSite of the cookie. 'none' is for pages of other sites, over TLS only."`
}

// Health is the active check of endpoints.
type Health struct {
	Check       string            `yaml:"check" short:"" default:"tcp" enum:"tcp,http,websocket" doc:"'tcp' connects, TLS included; 'http' sends a GET request; 'websocket' opens a session, sends a ping, waits for the pong and closes it."`
	Path        string            `yaml:"path" default:"/" doc:"Path and query of the request or handshake."`
	Host        string            `yaml:"host" doc:"Its Host header. Default: the endpoint's host."`
	Headers     map[string]string `yaml:"headers" secret:"" doc:"More of its headers, name to value."`
	Status      []int             `yaml:"status" min:"200" max:"599" doc:"Status codes that are well, for http. Absent: 200 to 299."`
	Body        string            `yaml:"body" doc:"Text that the first 64 KiB of the answer have to contain, for http."`
	Subprotocol string            `yaml:"subprotocol" doc:"Subprotocol to offer, and to be agreed on, for websocket."`
	Interval    time.Duration     `yaml:"interval" default:"5s" min:"100ms" max:"1h" doc:"Time between two checks of an endpoint, give or take a tenth."`
	Timeout     time.Duration     `yaml:"timeout" default:"2s" min:"1ms" max:"10m" doc:"Limit for one check, connecting included."`
	Rise        int               `yaml:"rise" default:"2" min:"1" max:"100" doc:"Good checks in a row that bring an endpoint up."`
	Fall        int               `yaml:"fall" default:"3" min:"1" max:"100" doc:"Bad checks in a row that take it down. The first check of an endpoint decides alone."`
}

// Passive judges endpoints by how they serve.
type Passive struct {
	Failures  int           `yaml:"failures" short:"" default:"5" off:"" min:"1" max:"10000" doc:"Failures in a row after which an endpoint gets no work for a while. A failure is an endpoint that cannot be reached, does not answer, breaks the protocol, or answers with one of 'statuses'. All but the first kind count only when several clients have met some within 'window', or there was only one client."`
	Ratio     units.Percent `yaml:"ratio" default:"off" off:"" min:"1%" max:"100%" doc:"Share of failures within 'window', from 20 outcomes on, that does the same."`
	Window    time.Duration `yaml:"window" default:"10s" min:"1s" max:"1h" doc:"Time that 'ratio' is about, and in which clients are told apart."`
	Statuses  []int         `yaml:"statuses" off:"" min:"500" max:"599" doc:"Status codes that count as failures. Absent or off: none, as they may be due to what was asked for."`
	Eject     time.Duration `yaml:"eject" default:"5s" min:"100ms" max:"1h" doc:"Time without work, for the first time; twice as long each time it fails again as soon as it is back."`
	MaxEject  time.Duration `yaml:"max_eject" default:"5m" min:"100ms" max:"1d" doc:"Longest time without work."`
	EjectLast bool          `yaml:"eject_last" doc:"Also when no other endpoint is up, and when a third of them is ejected already."`
}

// Retry bounds how often a request or handshake is tried again.
type Retry struct {
	Tries      int           `yaml:"tries" short:"" default:"3" min:"1" max:"20" doc:"Endpoints that are tried, the first one included."`
	Timeout    time.Duration `yaml:"timeout" default:"10s" min:"1ms" max:"10m" doc:"Time since the request came after which nothing is tried again."`
	TryTimeout time.Duration `yaml:"try_timeout" default:"off" off:"" min:"1ms" max:"10m" doc:"Limit for an endpoint to begin its answer to a handshake, or to a request that may be tried again, before another one is asked."`
	Budget     units.Percent `yaml:"budget" default:"20%" min:"1%" max:"100%" doc:"Retries for all requests of the backend together, as a share of them; a few more are always allowed."`
}

// Queue is where requests and handshakes wait while all endpoints are full.
type Queue struct {
	Length  int           `yaml:"length" short:"" default:"0" min:"0" max:"100000" doc:"Requests that wait at once, and as many handshakes; 503 beyond it."`
	Timeout time.Duration `yaml:"timeout" default:"5s" min:"1ms" max:"10m" doc:"How long one waits before it is answered 503."`
}

// Rebalance moves live sessions to endpoints that are added.
type Rebalance struct {
	Rate  units.PercentRate `yaml:"rate" short:"" default:"off" off:"" max:"100%/min" doc:"Share of the sessions on endpoints with more than their even share that is ended, to come back elsewhere, as in 5%/min."`
	First string            `yaml:"first" default:"oldest" enum:"oldest,newest" doc:"Which sessions go first."`
}

// DNS is how names are looked up.
type DNS struct {
	Server string        `yaml:"server" doc:"host:port of a name server, as in 127.0.0.1:8600. Default: those of the system."`
	MinTTL time.Duration `yaml:"min_ttl" default:"5s" min:"10ms" max:"1d" doc:"Shortest time until a name is looked up again, whatever its records say."`
	MaxTTL time.Duration `yaml:"max_ttl" default:"1m" min:"10ms" max:"1d" doc:"Longest time."`
}

// KeepAlive is how connections for requests are kept for the next request.
type KeepAlive struct {
	Idle     int           `yaml:"idle" default:"256" off:"" min:"0" max:"100000" doc:"Connections to one endpoint that are kept without a request, with HTTP/1.1; 0 or off for none."`
	Timeout  time.Duration `yaml:"timeout" default:"1m" min:"1ms" max:"1d" doc:"How long one is kept without a request."`
	Requests int           `yaml:"requests" default:"off" off:"" min:"1" max:"10000000" doc:"Requests after which a connection is closed, with HTTP/1.1."`
}

// BackendTLS is how the gateway speaks TLS to endpoints.
type BackendTLS struct {
	CA         string   `yaml:"ca" doc:"PEM file of the authorities to trust instead of the system's."`
	ServerName string   `yaml:"server_name" doc:"Name to ask for and verify instead of the endpoint's host."`
	Cert       string   `yaml:"cert" doc:"PEM file with a client certificate to show, then its intermediates."`
	Key        string   `yaml:"key" doc:"PEM file with its private key."`
	MinVersion string   `yaml:"min_version" default:"1.2" enum:"1.2,1.3" doc:"Lowest TLS version spoken."`
	PinnedKeys []string `yaml:"pinned_keys" doc:"Public keys, of which an endpoint's certificate has to have one: 'sha256/' and the base64 of the hash of its SubjectPublicKeyInfo."`
	Insecure   bool     `yaml:"insecure" doc:"Do not verify certificates. A machine in between can read and change everything, unless 'pinned_keys' is set."`
}

// Split is one of the backends that a route sends to.
type Split struct {
	Pos Pos `yaml:"-"`

	Backend string `yaml:"backend" required:"true" doc:"The name of a backend, or an address or URL."`
	Weight  int    `yaml:"weight" required:"true" min:"0" max:"1000" doc:"Share of the requests and sessions, next to the weights of the others; 0 for none."`
}

// Mirror sends copies of requests.
type Mirror struct {
	Backend string        `yaml:"backend" short:"" required:"true" doc:"The name of a backend, or an address or URL."`
	Share   units.Percent `yaml:"share" default:"100%" min:"1%" max:"100%" doc:"Share of the requests that are copied."`
	MaxBody units.Size    `yaml:"max_body_size" default:"64KiB" max:"10MiB" doc:"Largest body of a request that is copied."`
}
