package config

import (
	"time"

	"sluice/config/units"
)

// Backend is a named group of endpoints.
type Backend struct {
	Pos  Pos    `yaml:"-"`
	Name string `yaml:"-"` // the key; for an address written in a route, that address

	Endpoints      []Endpoint    `yaml:"endpoints" short:"" single:"" required:"true" also:"server,servers,targets,target,url,urls,address,addresses,host,hosts,loadBalancer" doc:"Its addresses: a list of endpoints."`
	Balance        string        `yaml:"balance" default:"least_connections" enum:"least_connections,round_robin,random_two,hash" also:"lb,lb_policy,load_balancing,policy,strategy,algorithm" doc:"Which endpoint is picked: 'least_connections', the one with the fewest live sessions and requests for its weight; 'round_robin', the next one in turn, by weight; 'random_two', the less busy of two taken at random; 'hash', by a hash of 'hash_by', unless that endpoint has a quarter more than its share."`
	HashBy         string        `yaml:"hash_by" needs:"balance=hash" pattern:"^(client|(header|cookie|query):.+)$" default:"client" doc:"What the hash is of: 'client' (its address), 'header:NAME', 'cookie:NAME' or 'query:NAME'. Where a request lacks it, the client's address. Only with 'balance: hash'."`
	Sticky         *Sticky       `yaml:"sticky" switch:"" also:"affinity,session_affinity" doc:"Keeps a client at the endpoint it had before, by a cookie."`
	Health         *Health       `yaml:"health" also:"healthCheck,check" doc:"Asks endpoints whether they are well."`
	Passive        Passive       `yaml:"passive" doc:"Judges endpoints by how they serve."`
	SlowStart      time.Duration `yaml:"slow_start" default:"off" off:"" min:"1s" max:"1h" doc:"Time in which an endpoint that comes up, or is added, grows to its full share; '1s' to '1h'."`
	Retry          Retry         `yaml:"retry" doc:"How often something is tried at other endpoints."`
	Queue          Queue         `yaml:"queue" doc:"Where work waits when all endpoints are full."`
	Rebalance      Rebalance     `yaml:"rebalance" doc:"Moves live sessions when endpoints are added."`
	DrainTime      time.Duration `yaml:"drain_time" default:"30s" min:"0s" max:"1d" doc:"Time over which the sessions of an endpoint that is drained end, with 1012; '0s' to '1d'."`
	DNS            DNS           `yaml:"dns" doc:"How names are looked up."`
	ConnectTimeout time.Duration `yaml:"connect_timeout" default:"5s" min:"1ms" max:"10m" doc:"Limit for connecting to one endpoint, TLS included; '1ms' to '10m'."`
	KeepAlive      KeepAlive     `yaml:"keepalive" doc:"How connections are kept for the next request."`
	HTTP2          bool          `yaml:"http2" not:"proxy_protocol=v1|proxy_protocol=v2" doc:"Offers HTTP/2 to https endpoints for requests. WebSockets follow 'websocket_over'."`
	WebSocketOver  string        `yaml:"websocket_over" default:"http/1.1" enum:"http/1.1,h2" doc:"'h2' opens WebSockets as HTTP/2 streams (RFC 8441) at https, wss and h2c endpoints that offer it, whatever 'http2' says; connections for them are kept apart from those of requests."`
	ProxyProtocol  string        `yaml:"proxy_protocol" default:"off" off:"" enum:"v1,v2" doc:"'v1' or 'v2' sends a PROXY header of that version with the client's address in front of each connection, which then serves that client alone. Excludes HTTP/2."` // "" when off
	TLS            BackendTLS    `yaml:"tls" doc:"TLS to https and wss endpoints."`
}

// Endpoint is one address of a backend, or a name that stands for several.
type Endpoint struct {
	Pos Pos `yaml:"-"`

	Text        string `yaml:"address" short:"" required:"true" also:"url,uri,host,server,target,port,backend" doc:"'host:port', '[::1]:8080', 'unix:/path', or a URL with 'http', 'https', 'h2c', 'ws' or 'wss' ('ws' means http, 'wss' means https; the port may be left out) and nothing behind the port."`
	Weight      int    `yaml:"weight" default:"1" min:"1" max:"1000" doc:"Share of the work, next to the weights of the others; '1' to '1000'."`
	Backup      bool   `yaml:"backup" doc:"Gets work only when all endpoints that are no backup are down. One at least has to be none."`
	MaxSessions int    `yaml:"max_sessions" default:"off" off:"" min:"1" max:"10000000" doc:"Sessions at once, up to 10000000; 'off': any number."`
	MaxRequests int    `yaml:"max_requests" default:"off" off:"" min:"1" max:"10000000" doc:"Requests at once, up to 10000000; 'off': any number."`
	Drain       bool   `yaml:"drain" doc:"Takes nothing new; its sessions end over 'drain_time' with 1012."`

	Network string `yaml:"-"` // "tcp", "unix" or "srv"
	Address string `yaml:"-"` // host:port (the port is always there), a path, or the name of SRV records
	TLS     bool   `yaml:"-"`
	H2C     bool   `yaml:"-"` // requests go over HTTP/2 with prior knowledge, handshakes where WebSocketOver says
}

// Sticky keeps a client at an endpoint.
type Sticky struct {
	Cookie   string        `yaml:"cookie" doc:"Its name."`
	MaxAge   time.Duration `yaml:"max_age" min:"1s" max:"1000d" doc:"How long a browser keeps it; '1s' to '1000d'."` // 0 when absent
	SameSite string        `yaml:"same_site" default:"lax" enum:"lax,strict,none" doc:"'lax', 'strict', or 'none' for pages of other sites, which needs TLS."`
}

// Health is the active check of endpoints.
type Health struct {
	Check       string            `yaml:"check" short:"" default:"tcp" enum:"tcp,http,websocket" doc:"'tcp' connects, TLS included; 'http' sends a GET request; 'websocket' opens a session, sends a ping, waits for the pong and closes it."`
	Path        string            `yaml:"path" needs:"check=http|check=websocket" pattern:"^/" default:"/" doc:"Path and query, for http and websocket."`
	Host        string            `yaml:"host" needs:"check=http|check=websocket" doc:"The Host header, for http and websocket."`
	Headers     map[string]string `yaml:"headers" needs:"check=http|check=websocket" secret:"" doc:"More headers, name to value, for http and websocket."`
	Status      []int             `yaml:"status" needs:"check=http" min:"200" max:"599" doc:"Status codes that are well, '200' to '599', for http."`
	Body        string            `yaml:"body" needs:"check=http" doc:"Text that the first 64 KiB of the answer have to contain, for http."`
	Subprotocol string            `yaml:"subprotocol" needs:"check=websocket" doc:"Subprotocol to offer, and to be agreed on, for websocket."`
	Interval    time.Duration     `yaml:"interval" default:"5s" min:"100ms" max:"1h" doc:"Time between two checks of an endpoint, give or take a tenth; '100ms' to '1h'."`
	Timeout     time.Duration     `yaml:"timeout" default:"2s" min:"1ms" max:"10m" doc:"Limit for one check, connecting included; '1ms' to '10m'."`
	Rise        int               `yaml:"rise" default:"2" min:"1" max:"100" doc:"Good checks in a row that bring an endpoint up; '1' to '100'."`
	Fall        int               `yaml:"fall" default:"3" min:"1" max:"100" doc:"Bad checks in a row that take it down; '1' to '100'."`
}

// Passive judges endpoints by how they serve.
type Passive struct {
	Failures  int           `yaml:"failures" short:"" default:"5" off:"" min:"1" max:"10000" doc:"Failures in a row after which an endpoint gets no work for a while, up to 10000; 'off': never."`
	Ratio     units.Percent `yaml:"ratio" default:"off" off:"" min:"1%" max:"100%" doc:"Share of failures within 'window', from 20 outcomes on, that does the same, as in '50%'; 'off': none does."`
	Window    time.Duration `yaml:"window" default:"10s" min:"1s" max:"1h" doc:"The time in which 'ratio' counts, and in which clients are told apart; '1s' to '1h'."`
	Statuses  []int         `yaml:"statuses" off:"" min:"500" max:"599" doc:"Status codes that count as failures, of 500 to 599, as in '[502, 503, 504]'; 'off' is none, as they may be due to what was asked for."`
	Eject     time.Duration `yaml:"eject" default:"5s" min:"100ms" max:"1h" doc:"Time without work, for the first time; twice as long each time the endpoint fails again as soon as it is back; '100ms' to '1h'."`
	MaxEject  time.Duration `yaml:"max_eject" default:"5m" min:"100ms" max:"1d" doc:"Longest time without work; '100ms' to '1d'."`
	EjectLast bool          `yaml:"eject_last" doc:"Ejects the last endpoint that is up too, and more than a third of all."`
}

// Retry bounds how often a request or handshake is tried again.
type Retry struct {
	Tries      int           `yaml:"tries" short:"" default:"3" min:"1" max:"20" doc:"Endpoints that are tried, the first one included; '1' to '20'."`
	Timeout    time.Duration `yaml:"timeout" default:"10s" min:"1ms" max:"10m" doc:"Time since the request came after which nothing is tried again; '1ms' to '10m'."`
	TryTimeout time.Duration `yaml:"try_timeout" default:"off" off:"" min:"1ms" max:"10m" doc:"Limit for an endpoint to begin its answer before another one is asked, for handshakes and for requests that may be tried again; '1ms' to '10m'."`
	Budget     units.Percent `yaml:"budget" default:"20%" min:"1%" max:"100%" doc:"Retries for all requests of the backend together, as a share of them, '1%' to '100%'. Five a second, and ten at once, are always allowed."`
}

// Queue is where requests and handshakes wait while all endpoints are full.
type Queue struct {
	Length  int           `yaml:"length" short:"" default:"0" min:"0" max:"100000" doc:"Requests that wait at once, and as many handshakes, up to 100000; more get 503."`
	Timeout time.Duration `yaml:"timeout" default:"5s" min:"1ms" max:"10m" doc:"How long one waits before it gets 503; '1ms' to '10m'."`
}

// Rebalance moves live sessions to endpoints that are added.
type Rebalance struct {
	Rate  units.PercentRate `yaml:"rate" short:"" default:"off" off:"" max:"100%/min" doc:"Share of the sessions on endpoints with too many that is ended, for a minute or an hour, up to '100%/min'."`
	First string            `yaml:"first" default:"oldest" enum:"oldest,newest" doc:"Which sessions go first: the 'oldest' or the 'newest'."`
}

// DNS is how names are looked up.
type DNS struct {
	Server string        `yaml:"server" doc:"'host:port' of a name server, as in '127.0.0.1:8600'."`
	MinTTL time.Duration `yaml:"min_ttl" default:"5s" min:"10ms" max:"1d" doc:"Shortest time until a name is looked up again, whatever its records say; '10ms' to '1d'."`
	MaxTTL time.Duration `yaml:"max_ttl" default:"1m" min:"10ms" max:"1d" doc:"Longest time; '10ms' to '1d'."`
}

// KeepAlive is how connections for requests are kept for the next request.
type KeepAlive struct {
	Idle     int           `yaml:"idle" default:"256" off:"" min:"0" max:"100000" doc:"Connections to one endpoint that are kept without a request, up to 100000; '0' or 'off': none. For HTTP/1.1."`
	Timeout  time.Duration `yaml:"timeout" default:"1m" min:"1ms" max:"1d" doc:"How long one is kept without a request; '1ms' to '1d'. Let the endpoint keep it longer: one that closes while a POST is on its way to it makes a 502."`
	Requests int           `yaml:"requests" default:"off" off:"" min:"1" max:"10000000" doc:"Requests after which a connection is closed, up to 10000000; 'off': after any number. For HTTP/1.1; an HTTP/2 connection carries any number."`
}

// BackendTLS is how the gateway speaks TLS to endpoints.
type BackendTLS struct {
	CA         string   `yaml:"ca" doc:"PEM file of the authorities to trust."`
	ServerName string   `yaml:"server_name" doc:"Name to ask for and to verify."`
	Cert       string   `yaml:"cert" needs:"key" doc:"PEM file with a client certificate to show, then its intermediates; with 'key'."`
	Key        string   `yaml:"key" needs:"cert" doc:"PEM file with its private key."`
	MinVersion string   `yaml:"min_version" default:"1.2" enum:"1.2,1.3" doc:"Lowest TLS version spoken: '1.2' or '1.3'."`
	PinnedKeys []string `yaml:"pinned_keys" doc:"Public keys, of which an endpoint's certificate has to have one: 'sha256/' and the base64 of the SHA-256 of its SubjectPublicKeyInfo."`
	Insecure   bool     `yaml:"insecure" doc:"Does not verify certificates: anyone on the way can read and change everything, unless 'pinned_keys' is set. The log warns of it at each start and reload."`
}

// Split is one of the backends that a route sends to.
type Split struct {
	Pos Pos `yaml:"-"`

	Backend string `yaml:"backend" required:"true" doc:"The name of one in 'backends', or an address or URL."`
	Weight  int    `yaml:"weight" required:"true" min:"0" max:"1000" doc:"Its share of requests and sessions, next to the weights of the others, '0' to '1000'. At least one is not 0; with 0, clients that were there go elsewhere."`
}

// Mirror sends copies of requests.
type Mirror struct {
	Backend string        `yaml:"backend" short:"" required:"true" doc:"The name of one in 'backends', or an address or URL; none that the route sends to already."`
	Share   units.Percent `yaml:"share" default:"100%" min:"1%" max:"100%" doc:"Share of the requests that are copied, '1%' to '100%'."`
	MaxBody units.Size    `yaml:"max_body_size" default:"64KiB" max:"10MiB" doc:"Longest body that is copied, up to '10MiB'."`
}
