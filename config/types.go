package config

import (
	"net/netip"
	"strings"
	"time"

	"sluice/config/report"
	"sluice/config/spelling"
	"sluice/config/units"
)

// Config is one configuration. From [Load], [Parse] and [Complete] it has all defaults and was
// checked. It is plain data: nothing that runs keeps a pointer into it.
//
// The struct tags of this package's types are the one source of the format, as package schema says:
// decoding, defaults, the JSON Schema and the tests of the documentation read them.
type Config struct {
	File string `yaml:"-"` // as given to Load, for messages; relative paths are resolved already
	Hash string `yaml:"-"` // SHA-256 of the file in hexadecimal; "" where there is none

	Listeners       []Listener    `yaml:"listeners" doc:"Addresses to accept connections on. Without it: ':443' with TLS and ':80' redirecting to it when 'tls' is set, else ':80'."`
	TLS             *TLS          `yaml:"tls" doc:"Certificates and TLS policy. Needed by every listener with 'tls: true'."`
	Backends        []Backend     `yaml:"backends" named:"Name" doc:"Named groups of endpoints, a mapping of name to backend."`
	Routes          []Route       `yaml:"routes" required:"true" doc:"What to do with a request. The most specific route wins; the order in the file never matters."`
	TrustedProxies  []Proxy       `yaml:"trusted_proxies" doc:"Proxies in front of this one: addresses and networks, as in 10.0.0.0/8 or '::1', and 'unix' for those that connect over a Unix socket. Only their Forwarded, X-Forwarded-* and X-Request-Id headers and PROXY headers are believed; what others send of them is replaced."`
	Via             bool          `yaml:"via" doc:"Add a Via header to requests and responses."`
	MaxSessions     int           `yaml:"max_sessions" default:"0" min:"0" max:"10000000" doc:"WebSocket sessions open at once, over all routes; 503 with Retry-After beyond. 0: no limit."`
	HTTP            HTTP          `yaml:"http" doc:"How HTTP is read and written."`
	Log             Log           `yaml:"log" doc:"What is logged, and how."`
	Admin           Admin         `yaml:"admin" doc:"The interface of operators: a Unix socket in the runtime directory, and TCP where it has an address."`
	Tracing         *Tracing      `yaml:"tracing" doc:"Export spans of requests and sessions to an OpenTelemetry collector, and pass trace contexts on to backends: where to, or how."`
	StateDir        string        `yaml:"state_dir" doc:"Directory for what must outlive the process (the local CA, ordered certificates, session ticket keys). Default: /var/lib/sluice for root, else ~/.local/state/sluice."`
	ShutdownTimeout time.Duration `yaml:"shutdown_timeout" default:"30s" min:"0s" max:"1d" doc:"How long requests and sessions may take to end after SIGTERM before they are cut."`

	positions map[report.Path]Pos    // of what the file has; nil for a Config that is from no file
	variables map[report.Path]string // what the file has with ${NAME} in it, as it is written there
}

// HTTP is how HTTP is read and written.
type HTTP struct {
	Engine string `yaml:"engine" default:"loops" enum:"loops,go" doc:"What speaks HTTP/1.1 with clients: 'loops' are the event loops that have the WebSocket sessions, 'go' is Go's net/http. HTTP/2 is always with net/http, and so is TLS with 'tls.records: go'. On other systems than Linux it is always 'go'."`
}

// Listener is an address that the gateway accepts connections on.
type Listener struct {
	Pos Pos `yaml:"-"`

	Address          string           `yaml:"address" short:"" required:"true" doc:"'host:port', ':port' (all addresses, IPv4 and IPv6), '[::1]:port', or 'unix:/path'. Port 0 picks a free port and logs it."`
	Mode             units.FileMode   `yaml:"mode" doc:"Permissions of the socket of 'unix:/path', in octal and in quotes, as in '0660'; to connect takes the right to write. Linux only. Absent: what the umask leaves."` // 0 when absent
	TLS              bool             `yaml:"tls" doc:"Terminate TLS on this listener."`
	RedirectHTTPS    bool             `yaml:"redirect_https" doc:"Answer every request with a redirect to https on the first TLS listener's port."`
	HTTP2            bool             `yaml:"http2" default:"true" doc:"Offer HTTP/2 on a TLS listener."`
	MaxStreams       int              `yaml:"max_streams" default:"250" min:"1" max:"10000" doc:"HTTP/2 streams open at once on a connection."`
	ProxyProtocol    bool             `yaml:"proxy_protocol" doc:"Require a PROXY header, version 1 or 2, in front of every connection. Connections from other addresses than 'trusted_proxies' are refused; on a Unix socket the permissions of the file decide who may connect."`
	Timeouts         ListenerTimeouts `yaml:"timeouts" doc:"How long clients may take."`
	MaxHeaderBytes   units.Size       `yaml:"max_header_bytes" default:"64KiB" min:"4KiB" max:"16MiB" doc:"Largest head of a request; 431 beyond it, 414 when its target alone is larger."`
	MaxConnections   int              `yaml:"max_connections" default:"0" min:"0" max:"10000000" doc:"Connections open at once; more wait to be accepted. 0: what the process may have, see docs/operations.md."`
	ConnectionsPerIP int              `yaml:"connections_per_ip" default:"0" min:"0" max:"1000000" doc:"Connections open at once from one client address, for IPv6 from one /64; more are refused. 0: no limit."`
	ConnectionRate   units.Rate       `yaml:"connection_rate" default:"off" off:"" max:"1000000/s" doc:"New connections of one client address, for IPv6 of one /64, as in 10/s or 60/m; more are refused. 0 or off: no limit."`
	ConnectionBurst  int              `yaml:"connection_burst" min:"1" max:"1000000" doc:"New connections of one client address that may come at once before 'connection_rate' holds. Default: what the rate gives in a second, at least 1."`
	RequestRate      units.Rate       `yaml:"request_rate" default:"off" off:"" max:"1000000/s" doc:"Requests of one client address, for IPv6 of one /64, as in 50/s or 600/m; 429 with Retry-After beyond it. 0 or off: no limit."`
	RequestBurst     int              `yaml:"request_burst" min:"1" max:"1000000" doc:"Requests of one client address that may come at once before 'request_rate' holds. Default: what the rate gives in a second, at least 1."`
}

// ListenerTimeouts bound how long clients may take.
type ListenerTimeouts struct {
	Header time.Duration `yaml:"header" default:"10s" min:"1ms" max:"10m" doc:"For the head of a request, and for a TLS handshake."`
	Idle   time.Duration `yaml:"idle" default:"2m" min:"1ms" max:"1d" doc:"Between the requests of a connection."`
}

// TLS is the certificates of the listeners and their TLS policy.
type TLS struct {
	Pos Pos `yaml:"-"`

	ACME         *ACME         `yaml:"acme" switch:"" doc:"Order certificates for every host named in routes that the other keys have none for, from Let's Encrypt or another CA, and renew them: true, or how."`
	Certificates []Certificate `yaml:"certificates" doc:"Certificate files, read again when they change. The client's server name picks one: an exact name, then a wildcard, then the first listed. One that is not valid now is served only while none for the name is."`
	SelfSigned   []string      `yaml:"self_signed" doc:"Names and IP addresses to issue certificates for from a local CA in 'state_dir'. A browser has to trust its root once."`
	MinVersion   string        `yaml:"min_version" default:"1.2" enum:"1.2,1.3" doc:"Lowest TLS version accepted."`
	Records      string        `yaml:"records" default:"sluice" enum:"sluice,go" doc:"What protects the TLS records of WebSocket sessions, of clients and of backends, once the handshake is done: 'sluice' keeps a session in some hundred bytes, 'go' leaves all of them to Go's crypto/tls, at tens of kilobytes each."`
	Curves       []string      `yaml:"curves" enum:"X25519MLKEM768,SecP256r1MLKEM768,SecP384r1MLKEM1024,X25519,P-256,P-384,P-521" doc:"Key exchanges to allow. Absent: what Go thinks best, post-quantum ones first."`
	CipherSuites []string      `yaml:"cipher_suites" enum:"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" doc:"Cipher suites of TLS 1.2 to allow; those of 1.3 are all good. Absent: what Go thinks best."`
	ClientAuth   *ClientAuth   `yaml:"client_auth" doc:"Ask clients for certificates."`
}

// ACME is a CA to order certificates from (RFC 8555).
type ACME struct {
	Email     string   `yaml:"email" doc:"Where the CA may write to."`
	Directory string   `yaml:"directory" default:"https://acme-v02.api.letsencrypt.org/directory" doc:"URL of the CA's directory."`
	RootCA    string   `yaml:"root_ca" doc:"PEM file of the authorities to trust for 'directory' instead of the system's."`
	Cache     string   `yaml:"cache" doc:"Directory for accounts, keys and certificates. Gateways that share it order each certificate once. Default: acme in 'state_dir'."`
	EAB       *EAB     `yaml:"eab" doc:"External account binding, which some CAs ask for."`
	Hosts     []string `yaml:"hosts" doc:"More names to order certificates for, such as those that a route with a wildcard takes."`
}

// EAB is an external account binding (RFC 8555, section 7.3.4): it ties the ACME account to an
// account that the CA knows already.
type EAB struct {
	KeyID       string `yaml:"key_id" required:"true" doc:"Identifier of the key that the CA gave out."`
	HMACKey     string `yaml:"hmac_key" secret:"" doc:"That key, base64url."` // filled in from HMACKeyFile
	HMACKeyFile string `yaml:"hmac_key_file" doc:"File that holds the key in place of 'hmac_key'."`

	Key []byte `yaml:"-"` // HMACKey, decoded
}

// ClientAuth is how clients are asked for certificates.
type ClientAuth struct {
	Mode string `yaml:"mode" default:"require" enum:"request,require" doc:"'require' refuses clients without a certificate; with 'request' they may have none. One that is shown must be from 'ca' in both."`
	CA   string `yaml:"ca" required:"true" doc:"PEM file of the authorities that issue the certificates; read again when it changes."`
	CRL  string `yaml:"crl" doc:"PEM or DER file of the certificates they have revoked; read again when it changes."`
}

// Certificate is a certificate chain and its key, both PEM files.
type Certificate struct {
	Index int `yaml:"-"` // in the list as it was given, as in a Route

	Cert string `yaml:"cert" required:"true" doc:"PEM file with the certificate, then its intermediates."`
	Key  string `yaml:"key" required:"true" doc:"PEM file with the private key."`
}

// Route is which requests to match and what to do with them. Exactly one of Backend, Split, Redirect,
// Respond and Files is set.
type Route struct {
	Pos   Pos `yaml:"-"`
	Index int `yaml:"-"` // in the list as it was given: a Config with problems lacks some routes

	Name     string            `yaml:"name" doc:"Identity of the route in logs and across reloads. Default: its matchers."`
	Host     string            `yaml:"host" doc:"Exact host, '*.example.com' (any name below, not example.com itself), or absent for any. A port is not part of it."`
	Path     string            `yaml:"path" default:"/*" doc:"Exact path, or a prefix when it ends in '/*': '/ws/*' matches '/ws/' and '/ws/a', not '/ws' or '/wsx'."`
	Methods  []string          `yaml:"methods" doc:"Methods to match. GET covers HEAD. Absent: any but TRACE."`
	Headers  map[string]string `yaml:"headers" secret:"" doc:"Request headers to match, name to value; '*' matches any value."`
	Query    map[string]string `yaml:"query" secret:"" doc:"Query parameters to match, name to value; '*' matches any value."`
	Protocol string            `yaml:"protocol" enum:"http,websocket" doc:"Match only WebSocket handshakes, or only other requests. A plain request that only misses this gets 426."`

	Backend  string    `yaml:"backend" doc:"Where to send it: the name of a backend, or an address or URL like those of 'endpoints'."`
	Split    []Split   `yaml:"split" doc:"Send it to one of several backends, by weight, such as a new version and the old one."`
	Redirect *Redirect `yaml:"redirect" doc:"Answer with a redirect."`
	Respond  *Respond  `yaml:"respond" doc:"Answer with a fixed response."`
	Files    *Files    `yaml:"files" doc:"Serve files from a directory."`

	SplitCookie  string            `yaml:"split_cookie" doc:"Cookie by which a client stays with the backend of 'split' that it first had. Absent: each request and each session is sent anew."`
	Mirror       *Mirror           `yaml:"mirror" doc:"Send a copy of plain requests to another backend too, and drop its answers."`
	StripPrefix  string            `yaml:"strip_prefix" doc:"Path prefix to remove before the backend or 'files' sees the request. It must be a prefix of 'path', at a '/'."`
	Rewrite      string            `yaml:"rewrite" doc:"Path for the backend or 'files'. A trailing '*' stands for what the '*' of 'path' matched."`
	Request      Headers           `yaml:"request" doc:"Changes to the headers the backend sees."`
	Response     Headers           `yaml:"response" doc:"Changes to the headers the client sees."`
	Timeouts     RouteTimeouts     `yaml:"timeouts" doc:"How long the backend may take."`
	MinBodyRate  units.ByteRate    `yaml:"min_body_rate" default:"500B/s" off:"" doc:"Slowest average at which a client may send the body of a request or take that of a response, counted while the client is waited for, with 10s of credit at first and 1m at most. 0 or off: as slow as it likes."`
	MaxBodySize  units.Size        `yaml:"max_body_size" default:"off" off:"" doc:"Largest body of a request; 413 beyond it. 0 or off: no limit."`
	ErrorPages   map[string]string `yaml:"error_pages" doc:"Files to answer the gateway's own errors with, by status ('404') or class ('4xx', '5xx')."`
	Compress     *Compress         `yaml:"compress" switch:"" doc:"Compress responses: true, or how."`
	CacheControl string            `yaml:"cache_control" doc:"Cache-Control of responses, in place of the backend's."`
	Security     *Security         `yaml:"security" switch:"" doc:"Headers that keep browsers safe: true, or which."`
	CORS         *CORS             `yaml:"cors" doc:"Other origins whose pages may read responses (Cross-Origin Resource Sharing)."`
	WebSocket    WebSocket         `yaml:"websocket" doc:"What WebSocket handshakes and sessions may do."`
	Tap          *Tap              `yaml:"tap" doc:"What operators may see of the frames of a session while they pass, besides their headers: 'payload', or how much of it. Payloads are the data of your users."`
}

// Tap says what a tap may show of sessions.
type Tap struct {
	Payload           bool       `yaml:"payload" short:"payload" doc:"A tap may show payloads."`
	Max               units.Size `yaml:"max" default:"256B" min:"16B" max:"4KiB" doc:"Most of the payload of each frame that a tap shows."`
	NoContextTakeover bool       `yaml:"no_context_takeover" doc:"Sessions compress each message by itself (RFC 7692, section 7.1.1), so that a tap can show messages that are compressed. They compress less well. Handshakes fail with backends that ignore it."`
}

// Headers is a change to a header section: removals first, then settings.
type Headers struct {
	Set     map[string]string `yaml:"set_headers" secret:"" doc:"Headers to set, replacing what is there under that name in any spelling. {client_address}, {route}, {host}, {request_id}, {scheme}, {tls_version}, {tls_cipher}, {tls_server_name} and {client_subject} stand for what the request has."`
	SetFile map[string]string `yaml:"set_headers_file" doc:"Headers to set to the content of a file (a secret), name to file. A line break at its end is dropped; an empty file is a mistake."` // their values are in Set too
	Remove  []string          `yaml:"remove_headers" doc:"Headers to remove, in any spelling of their names, in trailers too."`

	FromFile map[string]bool `yaml:"-"` // names in Set whose values come from files: variables are not expanded in them
}

// RouteTimeouts bound how long the backend may take.
type RouteTimeouts struct {
	Response time.Duration `yaml:"response" default:"60s" min:"1ms" max:"1d" doc:"For the backend to take each piece of a request's body, and then until the head of its response. A WebSocket has 'handshake_timeout' instead."`
	Idle     time.Duration `yaml:"idle" default:"1h" off:"" min:"1ms" max:"7d" doc:"For the backend to send more in the middle of a response, or to take more of the request. off: event streams and gRPC calls may pause for ever."`
}

// Compress says which responses are compressed, and how.
type Compress struct {
	Types     []string   `yaml:"types" default:"text/*,application/json,application/javascript,application/xml,application/wasm,image/svg+xml,*+json,*+xml" doc:"Content types to compress: 'text/html', 'text/*' for all of text, '*+json' for all that end so."`
	MinSize   units.Size `yaml:"min_size" default:"1KiB" doc:"Smallest response to compress."`
	Encodings []string   `yaml:"encodings" default:"zstd,gzip" enum:"zstd,gzip" doc:"Encodings to offer, the preferred first."`
}

// Security says which headers keep browsers safe. They replace the backend's.
type Security struct {
	HSTS         time.Duration `yaml:"hsts" default:"365d" off:"" min:"1s" max:"1000d" doc:"max-age of Strict-Transport-Security, sent over TLS only. off: not sent."`
	NoSniff      bool          `yaml:"nosniff" default:"true" doc:"Send X-Content-Type-Options: nosniff."`
	FrameOptions string        `yaml:"frame_options" default:"same-origin" off:"" enum:"deny,same-origin" doc:"X-Frame-Options: pages that may show this one in a frame. off: not sent."` // "" when off
}

// CORS says which pages of other origins may read responses.
type CORS struct {
	Origins     []string      `yaml:"origins" short:"" required:"true" doc:"Origins whose pages may: 'https://app.example.com', 'https://*.example.com', 'null', 'file://', or '*' for any."`
	Methods     []string      `yaml:"methods" doc:"Methods they may use besides GET, HEAD and POST, which need no permission."`
	Headers     []string      `yaml:"headers" doc:"Request headers they may set besides those that need no permission."`
	Expose      []string      `yaml:"expose" doc:"Response headers they may read besides those that need no permission."`
	Credentials bool          `yaml:"credentials" doc:"Let them send cookies and client certificates."`
	MaxAge      time.Duration `yaml:"max_age" min:"1s" max:"1d" doc:"How long a browser may remember the answer to a preflight request. Absent: as long as it does by itself."` // 0 when absent
}

// Redirect answers with a Location.
type Redirect struct {
	To     string `yaml:"to" short:"" required:"true" doc:"A URL or an absolute path. A trailing '*' stands for what the '*' of 'path' matched. The query is kept unless this has one."`
	Status int    `yaml:"status" default:"308" enum:"301,302,303,307,308" doc:"Status code."`
}

// Respond answers with a fixed response.
type Respond struct {
	Status      int    `yaml:"status" short:"" default:"200" min:"200" max:"599" doc:"Status code, 200 to 599."`
	Body        string `yaml:"body" doc:"Body."`
	ContentType string `yaml:"content_type" default:"text/plain; charset=utf-8" doc:"Content-Type of the body."`
}

// Files serves a directory.
type Files struct {
	Root     string `yaml:"root" short:"" required:"true" doc:"Directory to serve. Names that start with a dot, but for '.well-known' at its top, and links that lead out of it, are never served."`
	Index    string `yaml:"index" default:"index.html" doc:"File served for a directory."`
	Fallback string `yaml:"fallback" doc:"File below root served where none matches (for single-page apps)."`
}

// WebSocket is the policy of a route for handshakes and sessions.
type WebSocket struct {
	Origins             []string      `yaml:"origins" doc:"Origins whose pages may connect: 'same-origin', 'https://app.example.com', 'https://*.example.com', 'null', 'file://'. Clients that send no Origin (not browsers) pass. Absent: the backend decides."`
	Subprotocols        []string      `yaml:"subprotocols" doc:"Subprotocols to let through; a client must offer one of them. Absent: whatever client and backend agree on."`
	HandshakeTimeout    time.Duration `yaml:"handshake_timeout" default:"10s" min:"1ms" max:"10m" doc:"Limit for the backend to answer a handshake, connecting included."`
	Compression         string        `yaml:"compression" default:"pass" enum:"pass,strip" doc:"'pass' lets client and backend agree on permessage-deflate, 'strip' keeps the offer from the backend. Other extensions are never passed on."`
	CloseCodeBadGateway int           `yaml:"close_code_bad_gateway" default:"1014" enum:"1011,1014" doc:"Close code a client sees when the backend is lost; some clients reject 1014 as unknown."`
	IdleTimeout         time.Duration `yaml:"idle_timeout" default:"off" off:"" min:"1ms" max:"30d" doc:"How long a session may pass without a data frame in either direction (pings do not count); then it ends with 1001. off: no limit."`
	MaxLifetime         time.Duration `yaml:"max_lifetime" default:"off" off:"" min:"1ms" max:"365d" doc:"How long a session may last; it ends with 1001 at a random moment in the last tenth, so that not all come back together. off: no limit."`
	PingInterval        time.Duration `yaml:"ping_interval" default:"off" off:"" min:"1ms" max:"1d" doc:"A side from which nothing has come for so long gets a ping of the gateway's own, unless it still owes the other side a pong. off: none."`
	PongTimeout         time.Duration `yaml:"pong_timeout" default:"20s" min:"1ms" max:"1h" doc:"How long after such a ping was due something must come from that side, or be taken of the data that waits for it; else the session ends with 1001."`
	StallTimeout        time.Duration `yaml:"stall_timeout" default:"10m" off:"" min:"1s" max:"1d" doc:"How long a side of a session may take nothing of the bytes that wait for it; then the session ends with 1001. off: no limit."`
	KeepAlive           time.Duration `yaml:"keepalive" default:"15s" off:"" min:"1s" max:"9h" doc:"TCP keep-alive on both connections of a session: time of silence before the first probe, and between probes, in whole seconds. off: none."`
	UserTimeout         time.Duration `yaml:"user_timeout" default:"off" off:"" min:"1ms" max:"1d" doc:"TCP_USER_TIMEOUT of both connections of a session: how long bytes that were sent may stay unacknowledged before the connection counts as lost. Linux only. off: the system's."`
	BufferSize          units.Size    `yaml:"buffer_size" default:"64KiB" min:"4KiB" max:"64KiB" doc:"Most that the gateway holds in memory of one direction of a session while its reader does not take it."`
	Limits              SessionLimits `yaml:"limits" doc:"How many sessions there may be, and what may be sent in one."`
}

// SessionLimits bound the sessions of a route. 0 means no limit.
type SessionLimits struct {
	Sessions       int        `yaml:"sessions" default:"0" min:"0" max:"10000000" doc:"Sessions of the route open at once; 503 with Retry-After beyond. 0: no limit."`
	SessionsPerIP  int        `yaml:"sessions_per_ip" default:"0" min:"0" max:"1000000" doc:"Sessions of the route open at once from one client address, for IPv6 from one /64; 429 with Retry-After beyond. 0: no limit."`
	HandshakeRate  units.Rate `yaml:"handshake_rate" default:"off" off:"" max:"1000000/s" doc:"Handshakes of one client address, for IPv6 of one /64, as in 5/s or 60/m; 429 with Retry-After beyond it. 0 or off: no limit."`
	HandshakeBurst int        `yaml:"handshake_burst" min:"1" max:"1000000" doc:"Handshakes of one client address that may come at once before 'handshake_rate' holds. Default: what the rate gives in a second, at least 1."`

	Client  Traffic `yaml:",inline"`
	Backend Traffic `yaml:"backend" doc:"What the backend may send; the keys beside this one are about the client."`
}

// Traffic bounds what one side of a session may send. 0 means no limit.
type Traffic struct {
	FrameSize    units.Size     `yaml:"frame_size" default:"off" off:"" doc:"Largest payload of a data frame, as it is on the wire; 1009 beyond it. 0 or off: no limit."`
	MessageSize  units.Size     `yaml:"message_size" default:"off" off:"" doc:"Largest payload of a message, as it is on the wire; 1009 beyond it. With permessage-deflate that is compressed: 1MiB may inflate to 1GiB, unless 'compression' is strip. 0 or off: no limit."`
	MessageRate  units.Rate     `yaml:"message_rate" default:"off" off:"" max:"1000000000/s" doc:"Data messages, as in 50/s. 0 or off: no limit."`
	MessageBurst int            `yaml:"message_burst" min:"1" max:"1000000000" doc:"Messages that may come at once before 'message_rate' holds. Default: what the rate gives in a second, at least 1."`
	ByteRate     units.ByteRate `yaml:"byte_rate" default:"off" off:"" max:"1TiB/s" doc:"Bytes on the wire, headers and control frames too, as in 1MiB/s. 0 or off: no limit."`
	ByteBurst    units.Size     `yaml:"byte_burst" min:"1B" max:"1TiB" doc:"Bytes that may come at once before 'byte_rate' holds. Default: what the rate gives in a second."`
	OnExcess     string         `yaml:"on_excess" default:"delay" enum:"delay,close" doc:"What happens beyond a rate: 'delay' stops reading until it fits, 'close' ends the session with 1008."`
}

// Log says what is logged, and how. Logs go to standard output.
type Log struct {
	Level  string   `yaml:"level" default:"info" enum:"debug,info,warn,error" doc:"Least severe level logged."`
	Format string   `yaml:"format" default:"auto" enum:"auto,json,pretty" doc:"'auto' is pretty on a terminal and JSON elsewhere."`
	Access bool     `yaml:"access" default:"true" doc:"Log each request, and each session when it opens and when it ends."`
	Redact []string `yaml:"redact" doc:"Query parameters whose values never appear in a log."`
}

// Tracing is where spans go, and of which requests.
type Tracing struct {
	Endpoint string            `yaml:"endpoint" short:"" required:"true" doc:"URL of a collector that takes OTLP over HTTP, as in http://127.0.0.1:4318. Without a path it is /v1/traces."`
	Sample   units.Percent     `yaml:"sample" default:"100%" min:"0%" max:"100%" doc:"Share of the requests whose spans are exported. Where a proxy of 'trusted_proxies' sends a trace context, that decides instead."`
	Headers  map[string]string `yaml:"headers" secret:"" doc:"Headers of the requests to the collector, such as a token, better as \\${NAME} than in the file."`
	Service  string            `yaml:"service" default:"sluice" doc:"Name of this gateway in traces (service.name)."`
	CA       string            `yaml:"ca" doc:"PEM file of the authorities to trust for 'endpoint' instead of the system's."`
}

// Proxy is one or more proxies in front of this one.
type Proxy struct {
	netip.Prefix      // their addresses; invalid where Unix is set
	Unix         bool // those on Unix sockets, which have no address
}

// SetText reads p, as [schema.Text] says.
func (p *Proxy) SetText(text string, _ bool) (wrong string) {
	proxy, wrong := parseProxy(text)
	if wrong == "" {
		*p = proxy
	}
	return wrong
}

// Text returns p as SetText reads it.
func (p *Proxy) Text() string { return p.String() }

// Wrong returns what is wrong with a Proxy that was made in Go, or "".
func (p *Proxy) Wrong() string {
	_, wrong := parseProxy(p.String())
	return wrong
}

// Form is what a Proxy is, for messages.
func (p *Proxy) Form() string { return "an address or network" }

// parseProxy reads what [spelling.Network] reads, or the word unix. The second result is what is
// wrong with the text.
func parseProxy(text string) (Proxy, string) {
	if text == "unix" {
		return Proxy{Unix: true}, ""
	}
	if strings.HasPrefix(strings.ToLower(text), "unix") {
		return Proxy{}, "is not the word unix, which stands for the proxies on all Unix sockets"
	}
	network, wrong := spelling.Network(text)
	return Proxy{Prefix: network}, wrong
}

// String returns p as a configuration has it.
func (p Proxy) String() string {
	if p.Unix {
		return "unix"
	}
	return p.Prefix.String()
}
