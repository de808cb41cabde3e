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
	Hash string `yaml:"-"` // SHA-256 of the file, and of those that it includes, in hexadecimal; "" where there is none

	Notes []string `yaml:"-"` // what is right and hardly meant

	Include         []string      `yaml:"include" single:"" also:"import,includes" doc:"Files with more 'routes' and 'backends', as in 'conf.d/*.yaml', or a list of them; see include."`
	Listeners       []Listener    `yaml:"listeners" single:"" also:"listen,port,ports,bind,entrypoints,entryPoints" doc:"Addresses to accept connections on: a list of listeners."`
	TLS             *TLS          `yaml:"tls" also:"ssl,https" bare:"say where certificates come from, as in { acme: true } or { self_signed: [localhost] }" doc:"Certificates and TLS policy."`
	Backends        []Backend     `yaml:"backends" named:"Name" also:"upstream,upstreams,services,clusters" doc:"Where requests go: a mapping of names to backends."`
	Routes          []Route       `yaml:"routes" required:"true" unless:"include" also:"location,locations,rules,routers,server,servers,sites" doc:"What to do with a request: a list of routes."`
	TrustedProxies  []Proxy       `yaml:"trusted_proxies" also:"real_ip,set_real_ip_from,trusted_ips" doc:"The proxies in front of this one: addresses, networks, and 'unix'."`
	Via             bool          `yaml:"via" doc:"Adds a 'Via' header to requests and responses."`
	MaxSessions     int           `yaml:"max_sessions" default:"off" off:"" min:"0" max:"10000000" doc:"WebSocket sessions open at once, over all routes; a handshake beyond is answered 503 with Retry-After. '0' or 'off': no limit."`
	HTTP            HTTP          `yaml:"http" doc:"How HTTP is read and written."`
	Log             Log           `yaml:"log" also:"logging,access_log" doc:"What is logged, and how."`
	Admin           Admin         `yaml:"admin" also:"api,dashboard" doc:"The interface of operators."`
	Tracing         *Tracing      `yaml:"tracing" also:"opentelemetry,otel,otlp,telemetry" doc:"Where spans of requests and sessions go."`
	StateDir        string        `yaml:"state_dir" also:"data_dir,storage" doc:"Directory for what must outlive the process: the local CA of 'tls.self_signed', the certificates of 'tls.acme', session ticket keys, the key of cookies."`
	Shutdown        Shutdown      `yaml:"shutdown" doc:"How the gateway stops."`
	ShutdownTimeout time.Duration `yaml:"shutdown_timeout" not:"shutdown" min:"0s" max:"1d" also:"grace_period,drain_timeout" doc:"Short for 'shutdown: { timeout }', and excludes 'shutdown'."` // moved to Shutdown.Timeout
	Takeover        Takeover      `yaml:"takeover" doc:"How a gateway in another container takes over."`
	Watch           bool          `yaml:"watch" also:"auto_reload,hot_reload,reload" doc:"Reloads the configuration when a file changes that it was read from: this one, one of 'include', one that begins or ceases to match it, one that holds a secret."`

	sources   []string               // see Sources
	positions map[report.Path]Pos    // of what the file has; nil for a Config that is from no file
	variables map[report.Path]string // what the file has with ${NAME} in it, as it is written there
}

// Shutdown is how the gateway stops after SIGTERM.
type Shutdown struct {
	Timeout time.Duration `yaml:"timeout" short:"" default:"30s" min:"0s" max:"1d" doc:"How long requests and sessions may take to end when the listeners have closed, before they are cut. It holds for a reload too: for requests of a listener that is gone or has other server settings, and for the time over which sessions whose route or endpoint is gone end; '0s' to '1d'."`
	Spread  time.Duration `yaml:"spread" default:"0s" min:"0s" max:"1d" doc:"The time over which sessions end evenly, from the closing of the listeners on; at most 'timeout'. '0s': 1,000 sessions end in a second, or more where a third of 'timeout' is too short for that."`
	Delay   time.Duration `yaml:"delay" default:"0s" min:"0s" max:"1h" doc:"How long the listeners stay open after SIGTERM, while readiness is red: the time that balancers need to notice; '0s' to '1h'."`
}

// Takeover is how a process takes over that this one has not started.
type Takeover struct {
	Socket string `yaml:"socket" short:"" pattern:"^/.{1,106}$" doc:"Where this gateway offers its sessions, and where it asks for those of another one when it starts: the absolute path of a Unix socket, in a directory that only its user may enter (mode 0700) and that both containers share. Both need the same user, network namespace and configuration. Not for 'sluice restart', which needs no socket. Linux only."`
}

// HTTP is how HTTP is read and written.
type HTTP struct {
	Engine string `yaml:"engine" default:"loops" enum:"loops,go" doc:"What speaks HTTP/1.1 with clients: 'loops' are the event loops that have the WebSocket sessions, 'go' is Go's net/http. HTTP/2 is always with net/http, and so is TLS with 'records: go'. On other systems than Linux it is always 'go'."`
}

// Listener is an address that the gateway accepts connections on.
type Listener struct {
	Pos Pos `yaml:"-"`

	Address          string           `yaml:"address" short:"" required:"true" also:"listen,port,host,addr,bind" doc:"'host:port', ':port' or 'port' for all addresses (IPv4 and IPv6), '[::1]:port', 'unix:/path', or 'systemd:NAME' for the socket of that name that systemd has opened. Port '0' picks a free port and logs it."`
	Mode             units.FileMode   `yaml:"mode" doc:"Permissions of the socket of 'unix:/path', in octal and in quotes, as in '\"0660\"'; to connect takes the right to write. The socket is never more open, not even while it is made, and a reload changes the mode of an open one. Linux only."` // 0 when absent
	TLS              bool             `yaml:"tls" also:"ssl,https" doc:"Terminates TLS here; needs the section 'tls'."`
	RedirectHTTPS    bool             `yaml:"redirect_https" not:"tls=true" also:"redirect,force_https,https_redirect" doc:"Answers every request with a redirect to https on the first TLS listener's port. Excludes 'tls'."`
	HTTP2            bool             `yaml:"http2" needs:"tls=true" default:"true" doc:"Offers HTTP/2; for TLS listeners."`
	MaxStreams       int              `yaml:"max_streams" needs:"tls=true" default:"250" min:"1" max:"10000" doc:"HTTP/2 streams open at once on a connection; '1' to '10000'. For listeners with HTTP/2."`
	ProxyProtocol    bool             `yaml:"proxy_protocol" doc:"Requires a PROXY header, version 1 or 2, in front of every connection. Needs 'trusted_proxies', connections from others are refused; on a Unix socket the permissions of the file decide who may connect."`
	Timeouts         ListenerTimeouts `yaml:"timeouts" doc:"How long clients may take."`
	MaxHeaderBytes   units.Size       `yaml:"max_header_bytes" default:"64KiB" min:"4KiB" max:"16MiB" doc:"Largest head of a request, '4KiB' to '16MiB'; beyond it 431, or 414 where the target alone is larger. Over HTTP/2 a head of more than four times as much ends the connection."`
	MaxConnections   int              `yaml:"max_connections" default:"0" min:"0" max:"10000000" doc:"Connections open at once; more wait to be accepted. '0': what the process may have, over all listeners without a number of their own: half of its descriptors."`
	ConnectionsPerIP int              `yaml:"connections_per_ip" default:"0" min:"0" max:"1000000" doc:"Connections open at once from one client address, for IPv6 from one /64; more are refused. '0': no limit."`
	ConnectionRate   units.Rate       `yaml:"connection_rate" default:"off" off:"" max:"1000000/s" doc:"New connections of one client address, for IPv6 of one /64, up to '1000000/s'; more are refused. '0' or 'off': no limit."`
	ConnectionBurst  int              `yaml:"connection_burst" needs:"connection_rate" min:"1" max:"1000000" doc:"New connections of one client address that may come at once before 'connection_rate' holds; up to 1000000."`
	RequestRate      units.Rate       `yaml:"request_rate" default:"off" off:"" max:"1000000/s" doc:"Requests of one client address, for IPv6 of one /64, up to '1000000/s'; 429 with Retry-After beyond it. '0' or 'off': no limit."`
	RequestBurst     int              `yaml:"request_burst" needs:"request_rate" min:"1" max:"1000000" doc:"Requests of one client address that may come at once before 'request_rate' holds; up to 1000000."`
}

// ListenerTimeouts bound how long clients may take.
type ListenerTimeouts struct {
	Header time.Duration `yaml:"header" default:"10s" min:"1ms" max:"10m" doc:"For the head of a request, and for a TLS handshake; '1ms' to '10m'."`
	Idle   time.Duration `yaml:"idle" default:"2m" min:"1ms" max:"1d" doc:"Between the requests of a connection; '1ms' to '1d'."`
}

// TLS is the certificates of the listeners and their TLS policy.
type TLS struct {
	Pos Pos `yaml:"-"`

	ACME         *ACME         `yaml:"acme" switch:"" also:"letsencrypt,lets_encrypt,certResolver" doc:"Orders certificates for the hosts of routes and renews them. Switch: 'acme: true'."`
	Certificates []Certificate `yaml:"certificates" also:"cert,certs,certificate,cert_file,ssl_certificate,ssl_certificate_key" doc:"A list of certificate files. The client's server name picks one: an exact name, then a wildcard, then the first listed of all that is there, those of 'acme' and 'self_signed' after the files."`
	SelfSigned   []string      `yaml:"self_signed" doc:"Names and IP addresses to issue certificates for from a local CA, kept in 'state_dir'. A browser has to trust its root once: 'sluice trust --install'."`
	MinVersion   string        `yaml:"min_version" default:"1.2" enum:"1.2,1.3" doc:"Lowest TLS version accepted: '\"1.2\"' or '\"1.3\"'."`
	Records      string        `yaml:"records" default:"sluice" enum:"sluice,go" doc:"What protects the TLS records of WebSocket sessions, of clients and of backends, once the handshake is done: 'sluice' keeps a session in some hundred bytes, 'go' leaves all of them to Go's 'crypto/tls', at tens of kilobytes each."`
	Curves       []string      `yaml:"curves" enum:"X25519MLKEM768,SecP256r1MLKEM768,SecP384r1MLKEM1024,X25519,P-256,P-384,P-521" doc:"Key exchanges to allow: 'X25519MLKEM768', 'SecP256r1MLKEM768', 'SecP384r1MLKEM1024', 'X25519', 'P-256', 'P-384', 'P-521'. Their order does not matter."`
	CipherSuites []string      `yaml:"cipher_suites" not:"min_version=1.3" enum:"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" doc:"Cipher suites of TLS 1.2 to allow: 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256', 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384', 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384', 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256', 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256'."`
	ClientAuth   *ClientAuth   `yaml:"client_auth" doc:"Asks clients for certificates."`
}

// ACME is a CA to order certificates from (RFC 8555).
type ACME struct {
	Email     string   `yaml:"email" also:"mail,contact" doc:"Where the CA may write to."`
	Directory string   `yaml:"directory" default:"https://acme-v02.api.letsencrypt.org/directory" also:"ca,server,caServer" doc:"URL of the CA's directory. Try 'https://acme-staging-v02.api.letsencrypt.org/directory' first: its limits are wide."`
	RootCA    string   `yaml:"root_ca" doc:"PEM file of the authorities to trust for 'directory', for a CA of your own."`
	Cache     string   `yaml:"cache" doc:"Directory for accounts, keys and certificates, readable by its owner alone. Gateways that share it order each certificate once, and answer for each other."`
	EAB       *EAB     `yaml:"eab" doc:"External account binding, which some CAs ask for."`
	Hosts     []string `yaml:"hosts" doc:"More names, such as those below a route's wildcard."`
}

// EAB is an external account binding (RFC 8555, section 7.3.4): it ties the ACME account to an
// account that the CA knows already.
type EAB struct {
	KeyID       string `yaml:"key_id" required:"true" doc:"Identifier of the key that the CA gave out."`
	HMACKey     string `yaml:"hmac_key" one:"key" secret:"" doc:"That key, base64url. It or 'hmac_key_file' is required."` // filled in from HMACKeyFile
	HMACKeyFile string `yaml:"hmac_key_file" one:"key" doc:"File that holds the key."`

	Key []byte `yaml:"-"` // HMACKey, decoded
}

// ClientAuth is how clients are asked for certificates.
type ClientAuth struct {
	Mode string `yaml:"mode" default:"require" enum:"request,require" doc:"'require' refuses clients without a certificate; with 'request' they may have none. A certificate that is shown is verified in both."`
	CA   string `yaml:"ca" required:"true" doc:"PEM file of the authorities that issue the certificates."`
	CRL  string `yaml:"crl" doc:"PEM or DER file of the certificates they have revoked, one list or more. A list past its time is warned of and used."`
}

// Certificate is a certificate chain and its key, both PEM files.
type Certificate struct {
	Index int `yaml:"-"` // in the list as it was given, as in a Route

	Cert string `yaml:"cert" required:"true" also:"certificate,cert_file,certFile,ssl_certificate" doc:"PEM file with the certificate, then its intermediates."`
	Key  string `yaml:"key" required:"true" also:"private_key,key_file,keyFile,ssl_certificate_key" doc:"PEM file with the private key."`
}

// Route is which requests to match and what to do with them. Exactly one of Backend, Split, Redirect,
// Respond and Files is set.
type Route struct {
	Pos   Pos `yaml:"-"`
	Index int `yaml:"-"` // in the list as it was given: a Config with problems lacks some routes

	Name     string            `yaml:"name" doc:"The identity of the route in logs and across reloads; no two routes may share one."`
	Hosts    []string          `yaml:"host" single:"" also:"server_name,domain,domains,hostname" doc:"'chat.example.com', or '*.example.com' for any name below it (at any depth, not 'example.com' itself), or an IP address, or a list of them. No port: a route matches on every listener. Names beyond ASCII are written in punycode."`
	Paths    []string          `yaml:"path" single:"" pattern:"^/" default:"/*" also:"location,uri,url,prefix,path_prefix,match,rule" doc:"An exact path, or a prefix when it ends in '/*': '/ws/*' matches '/ws/' and '/ws/a', not '/ws' and not '/wsx'. A list has several. More forms are below."`
	Methods  []string          `yaml:"methods" doc:"A list of methods, in the case they are sent in. 'GET' covers 'HEAD'."`
	Headers  map[string]string `yaml:"headers" secret:"" doc:"Request headers that must be there, name to value; '\"*\"' matches any value. Names ignore case, values do not."`
	Query    map[string]string `yaml:"query" secret:"" doc:"Query parameters that must be there, name to value; '\"*\"' matches any value."`
	Protocol string            `yaml:"protocol" enum:"http,websocket" doc:"'websocket' matches only WebSocket handshakes, 'http' only other requests. A plain request that a route misses for this alone is answered 426."`

	Backend  string    `yaml:"backend" one:"action" many:"give the addresses a name in 'backends', as in app: [10.0.0.1:80, 10.0.0.2:80]" also:"proxy_pass,reverse_proxy,proxy,upstream,service,target,forward" doc:"Sends it to a backend: the name of one in 'backends', or an address or URL in its place, as in 'endpoints'."`
	Split    []Split   `yaml:"split" one:"action" doc:"Sends it to one of several backends, by weight; see split."`
	Redirect *Redirect `yaml:"redirect" one:"action" also:"return,redir" doc:"Answers with a redirect; see redirect."`
	Respond  *Respond  `yaml:"respond" one:"action" also:"return,static_response" doc:"Answers with a fixed response; see respond."`
	Files    *Files    `yaml:"files" one:"action" also:"root,static,file_server,alias,directory" doc:"Serves a directory; see files."`

	SplitCookie  string            `yaml:"split_cookie" needs:"split" doc:"Name of a signed cookie by which a client stays with the backend of 'split' that it first had. Without it each request and each session is sent anew."`
	Mirror       *Mirror           `yaml:"mirror" needs:"backend|split" not:"protocol=websocket" doc:"Sends a copy of plain requests to another backend."`
	StripPrefix  string            `yaml:"strip_prefix" needs:"backend|split|files" not:"rewrite" pattern:"^/" also:"strip_path,stripPrefix,uri_strip_prefix" doc:"Path prefix to remove: the beginning of 'path', up to a '/'. With '/ws' the request '/ws/room' becomes '/room'."`
	Rewrite      string            `yaml:"rewrite" needs:"backend|split|files" pattern:"^/" doc:"The path instead. A '*' at its end stands for what the '*' of 'path' matched: with 'path: /api/*' and 'rewrite: /v2/*' the request '/api/users' becomes '/v2/users'. '{path.id}' stands for the segment '{id}'. Excludes 'strip_prefix'."`
	Request      Headers           `yaml:"request" needs:"backend|split" also:"proxy_set_header,header_up" doc:"Changes to the headers that the backend sees."`
	Response     Headers           `yaml:"response" also:"add_header" doc:"Changes to the headers that the client sees."`
	Timeouts     RouteTimeouts     `yaml:"timeouts" needs:"backend|split" not:"protocol=websocket" also:"timeout,read_timeout,proxy_read_timeout" doc:"How long the backend may take."`
	MinBodyRate  units.ByteRate    `yaml:"min_body_rate" not:"redirect" default:"500B/s" off:"" doc:"Slowest average at which a client may send the body of a request or take that of a response."`
	MaxBodySize  units.Size        `yaml:"max_body_size" needs:"backend|split" not:"protocol=websocket" default:"off" off:"" also:"client_max_body_size,body_limit" doc:"Largest body of a request; one that is longer is answered 413, before the backend sees it if its length is declared. '0' or 'off': no limit."`
	ErrorPages   map[string]string `yaml:"error_pages" not:"redirect" keys:"^[45]([0-9]{2}|xx)$" doc:"Files to answer the gateway's own errors with, such as a 502 for a backend that is down: a mapping of status ('\"404\"') or class ('4xx', '5xx') to file name. A status goes before its class; what a backend answers itself is left alone."`
	Compress     *Compress         `yaml:"compress" not:"redirect|protocol=websocket" switch:"" also:"gzip,encode,compression" doc:"Compresses responses."`
	CacheControl string            `yaml:"cache_control" not:"protocol=websocket" doc:"The Cache-Control of responses in place of the backend's, as in 'public, max-age=60'."`
	Security     *Security         `yaml:"security" switch:"" doc:"Headers that keep browsers safe."`
	CORS         *CORS             `yaml:"cors" not:"redirect|protocol=websocket" doc:"Other origins whose pages may read responses."`
	WebSocket    WebSocket         `yaml:"websocket" needs:"backend|split" not:"protocol=http" bare:"WebSockets pass without this key" doc:"What WebSocket handshakes and sessions may do."`
	Tap          *Tap              `yaml:"tap" needs:"backend|split" not:"protocol=http" doc:"What operators may see of the frames of a session, besides their headers."`
}

// Tap says what a tap may show of sessions.
type Tap struct {
	Payload           bool       `yaml:"payload" short:"payload" doc:"Whether a tap may show payloads."`
	Max               units.Size `yaml:"max" needs:"payload=true" default:"256B" min:"16B" max:"4KiB" doc:"Most bytes of each frame's payload that are shown, '16B' to '4KiB'."`
	NoContextTakeover bool       `yaml:"no_context_takeover" needs:"payload=true" doc:"Makes sessions compress each message by itself (RFC 7692, section 7.1.1), so that a tap can show messages that are compressed. Without it a compressed message can be read only by one that has read all those before. Messages compress less well."`
}

// Headers is a change to a header section: removals first, then settings.
type Headers struct {
	Set     map[string]string `yaml:"set_headers" secret:"" doc:"Headers to set, name to value, in place of what is there. 'Host' may be set on requests."`
	SetFile map[string]string `yaml:"set_headers_file" doc:"Headers to set to the content of a file, name to file name; for secrets. One newline at its end is dropped. A header may not be in both."` // their values are in Set too
	Remove  []string          `yaml:"remove_headers" doc:"Headers to remove."`

	FromFile map[string]bool `yaml:"-"` // names in Set whose values come from files: variables are not expanded in them
}

// RouteTimeouts bound how long the backend may take.
type RouteTimeouts struct {
	Response time.Duration `yaml:"response" default:"60s" min:"1ms" max:"1d" doc:"For the backend to take each piece of a request's body, and then until the head of its response; '1ms' to '1d'. A WebSocket has 'handshake_timeout' instead."`
	Idle     time.Duration `yaml:"idle" default:"1h" off:"" min:"1ms" max:"7d" doc:"For the backend to send more in the middle of a response, or to take more of the request; then both connections end there, and the log says so. It counts only while the backend is waited for, so a slow client has no part in it."`
}

// Compress says which responses are compressed, and how.
type Compress struct {
	Types     []string   `yaml:"types" default:"text/*,application/json,application/javascript,application/xml,application/wasm,image/svg+xml,*+json,*+xml" doc:"Content types: 'text/html', 'text/*' for all of text, '*+json' for all that end so. Parameters such as a charset do not count."`
	MinSize   units.Size `yaml:"min_size" default:"1KiB" doc:"Smallest response to compress."`
	Encodings []string   `yaml:"encodings" default:"zstd,gzip" enum:"zstd,gzip" doc:"'zstd' and 'gzip': encodings to offer, the preferred first."`
}

// Security says which headers keep browsers safe. They replace the backend's.
type Security struct {
	HSTS         time.Duration `yaml:"hsts" default:"365d" off:"" min:"1s" max:"1000d" doc:"Strict-Transport-Security: browsers use https only, for this long; '1s' to '1000d'. Sent over TLS only. 'off': not sent."`
	NoSniff      bool          `yaml:"nosniff" default:"true" doc:"X-Content-Type-Options: browsers believe the Content-Type."`
	FrameOptions string        `yaml:"frame_options" default:"same-origin" off:"" enum:"deny,same-origin" doc:"X-Frame-Options: 'same-origin' lets pages of the same origin show this one in a frame, 'deny' none. 'off': not sent."` // "" when off
}

// CORS says which pages of other origins may read responses.
type CORS struct {
	Origins     []string      `yaml:"origins" short:"" required:"true" doc:"Origins whose pages may read responses: 'https://app.example.com', 'https://*.example.com', '\"null\"' for pages without one, 'file://', or '\"*\"' for any."`
	Methods     []string      `yaml:"methods" doc:"Methods they may use besides 'GET', 'HEAD' and 'POST', which need no permission."`
	Headers     []string      `yaml:"headers" doc:"Request headers they may set besides those that need no permission. 'Content-Type: application/json' needs it."`
	Expose      []string      `yaml:"expose" doc:"Response headers they may read besides those that need no permission."`
	Credentials bool          `yaml:"credentials" doc:"Lets them send cookies and client certificates. Excludes '\"*\"' and '\"null\"'."`
	MaxAge      time.Duration `yaml:"max_age" min:"1s" max:"1d" doc:"How long a browser may remember the answer to a preflight request; '1s' to '1d'."` // 0 when absent
}

// Redirect answers with a Location.
type Redirect struct {
	To     string `yaml:"to" short:"" required:"true" doc:"An absolute path, or a URL with 'http', 'https', 'ws' or 'wss'. A '*' at its end stands for what the '*' of 'path' matched. The query of the request is kept unless this has one."`
	Status int    `yaml:"status" default:"308" enum:"301,302,303,307,308" doc:"'301', '302', '303', '307' or '308'."`
}

// Respond answers with a fixed response.
type Respond struct {
	Status      int    `yaml:"status" short:"" default:"200" min:"200" max:"599" doc:"Status code, 200 to 599."`
	Body        string `yaml:"body" not:"status=204|status=304" doc:"Body; none with 204 and 304."`
	ContentType string `yaml:"content_type" default:"text/plain; charset=utf-8" doc:"Its Content-Type."`
}

// Files serves a directory.
type Files struct {
	Root     string `yaml:"root" short:"" required:"true" doc:"The directory."`
	Index    string `yaml:"index" default:"index.html" doc:"Name of the file served for a directory."`
	Fallback string `yaml:"fallback" doc:"File below 'root', served where none matches; for single-page applications."`
	Browse   bool   `yaml:"browse" doc:"Lists the files of a directory that has no 'index', as a page: what is served, 1,000 entries at most."`
}

// WebSocket is the policy of a route for handshakes and sessions.
type WebSocket struct {
	Origins             []string      `yaml:"origins" doc:"Origins whose pages may connect: 'same-origin', 'https://app.example.com', 'https://*.example.com', '\"null\"' (in quotes) for pages without one, as browsers mostly send for files, and 'file://' as some apps send. Others get 403."`
	Subprotocols        []string      `yaml:"subprotocols" doc:"Subprotocols to let through; a client must offer one of them."`
	HandshakeTimeout    time.Duration `yaml:"handshake_timeout" default:"10s" min:"1ms" max:"10m" doc:"Limit for the backend to answer a handshake, connecting included; '1ms' to '10m'."`
	Compression         string        `yaml:"compression" default:"pass" enum:"pass,strip" doc:"'pass' lets client and backend agree on permessage-deflate, 'strip' keeps the offer from the backend. Other extensions are never passed on."`
	CloseCodeBadGateway int           `yaml:"close_code_bad_gateway" default:"1014" enum:"1011,1014" doc:"Close code a client sees when the backend is lost: '1014', or '1011' for clients that reject 1014 as unknown."`
	IdleTimeout         time.Duration `yaml:"idle_timeout" default:"off" off:"" min:"1ms" max:"30d" doc:"How long a session may pass without a data frame in either direction; then both sides get 1001. Pings and pongs do not count. '1ms' to '30d', or 'off'."`
	MaxLifetime         time.Duration `yaml:"max_lifetime" default:"off" off:"" min:"1ms" max:"365d" doc:"How long a session may last. It ends with 1001 for both sides, at a random moment in the last tenth of this time, so that sessions which began together do not all come back together. '1ms' to '365d', or 'off'."`
	PingInterval        time.Duration `yaml:"ping_interval" default:"off" off:"" min:"1ms" max:"1d" doc:"A side from which nothing has come for this long gets a ping from sluice itself; the pong is not passed on. While that side still has to answer a ping of the other side, that ping serves instead: a side may answer only the last of several pings."`
	PongTimeout         time.Duration `yaml:"pong_timeout" default:"20s" min:"1ms" max:"1h" doc:"After such a ping was due, something has to come from that side within this time, a pong or anything else; if not, the session ends with 1001. While data waits for that side, what it takes of the data counts too: a side that has stopped reading is not alive."`
	StallTimeout        time.Duration `yaml:"stall_timeout" default:"10m" off:"" min:"1s" max:"1d" doc:"How long a side may take nothing of the bytes that wait for it, because it has stopped reading. Then the session ends with 1001 for the other side, and for this side too if it takes bytes again within 5s. Bytes that a rate of 'limits' holds back do not count."`
	KeepAlive           time.Duration `yaml:"keepalive" default:"15s" off:"" min:"1s" max:"9h" doc:"TCP keep-alive of both connections: time of silence before the first probe, and between probes, in whole seconds. '1s' to '9h', or 'off'."`
	UserTimeout         time.Duration `yaml:"user_timeout" default:"off" off:"" min:"1ms" max:"1d" doc:"TCP_USER_TIMEOUT of both connections: how long sent bytes and keep-alive probes may stay unacknowledged before the connection counts as lost. Linux only. '1ms' to '1d'; 'off': what the system has."`
	BufferSize          units.Size    `yaml:"buffer_size" default:"64KiB" min:"4KiB" max:"64KiB" doc:"How much of one direction of a session sluice holds in memory, at most, while the reader does not take it; '4KiB' to '64KiB'. Beyond it the sender is not read. A large frame between plain connections may fill a pipe of the kernel besides, 512 KiB."`
	Limits              SessionLimits `yaml:"limits" doc:"How many sessions there may be, and what may be sent."`
}

// SessionLimits bound the sessions of a route. 0 means no limit.
type SessionLimits struct {
	Sessions       int        `yaml:"sessions" default:"off" off:"" min:"0" max:"10000000" doc:"Sessions of the route open at once, up to 10000000; 503 with Retry-After beyond. '0' or 'off': no limit."`
	SessionsPerIP  int        `yaml:"sessions_per_ip" default:"off" off:"" min:"0" max:"1000000" doc:"Sessions of the route open at once from one client address, up to 1000000; 429 with Retry-After beyond. '0' or 'off': no limit."`
	HandshakeRate  units.Rate `yaml:"handshake_rate" default:"off" off:"" max:"1000000/s" doc:"Handshakes of one client address, as in '5/s' or '60/m', up to '1000000/s'; 429 with Retry-After beyond. '0' or 'off': no limit."`
	HandshakeBurst int        `yaml:"handshake_burst" needs:"handshake_rate" min:"1" max:"1000000" doc:"Handshakes of one address that may come at once before 'handshake_rate' holds; up to 1000000."`

	Client  Traffic `yaml:",inline"`
	Backend Traffic `yaml:"backend" doc:"What the backend may send; the keys beside this one are about the client."`
}

// Traffic bounds what one side of a session may send. 0 means no limit.
type Traffic struct {
	FrameSize    units.Size     `yaml:"frame_size" default:"off" off:"" doc:"Largest payload of a data frame; 1009 beyond. '0' or 'off': no limit."`
	MessageSize  units.Size     `yaml:"message_size" default:"off" off:"" doc:"Largest payload of a message, all its frames together; 1009 beyond. '0' or 'off': no limit."`
	MessageRate  units.Rate     `yaml:"message_rate" default:"off" off:"" max:"1000000000/s" doc:"Data messages, as in '50/s', up to '1000000000/s'. '0' or 'off': no limit."`
	MessageBurst int            `yaml:"message_burst" needs:"message_rate" min:"1" max:"1000000000" doc:"Messages that may come at once before 'message_rate' holds; up to 1000000000."`
	ByteRate     units.ByteRate `yaml:"byte_rate" default:"off" off:"" max:"1TiB/s" doc:"Bytes on the wire, headers and control frames too, as in '1MiB/s', up to '1TiB/s'. '0' or 'off': no limit."`
	ByteBurst    units.Size     `yaml:"byte_burst" needs:"byte_rate" min:"1B" max:"1TiB" doc:"Bytes that may come at once before 'byte_rate' holds; up to '1TiB'."`
	OnExcess     string         `yaml:"on_excess" needs:"message_rate|byte_rate" default:"delay" enum:"delay,close" doc:"What happens beyond a rate: 'delay' stops reading that side until the rate allows more, so that its own sending has to wait; 'close' ends the session with 1008."`
}

// Log says what is logged, and how. Logs go to standard output.
type Log struct {
	Level  string   `yaml:"level" default:"info" enum:"debug,info,warn,error" doc:"Least severe level logged: 'debug', 'info', 'warn', 'error'."`
	Format string   `yaml:"format" default:"auto" enum:"auto,json,pretty" doc:"'json', 'pretty', or 'auto': pretty on a terminal and JSON elsewhere."`
	Access bool     `yaml:"access" default:"true" doc:"Logs each request, and each session when it opens and when it ends. Of the URI a record holds 1 KiB, of method, host and subprotocol 256 bytes: longer ones end with '...' there."`
	Redact []string `yaml:"redact" off:"" doc:"Query parameters whose values never appear in a log, besides 'token', 'access_token', 'id_token', 'key', 'api_key', 'apikey', 'password', 'secret', 'code', 'signature', 'sig' and 'X-Amz-Signature'; 'off': all values appear."`
}

// Tracing is where spans go, and of which requests.
type Tracing struct {
	Endpoint string            `yaml:"endpoint" short:"" required:"true" doc:"URL of a collector that takes OTLP over HTTP. Without a path it is '/v1/traces'. Proxies that the environment names are not used."`
	Sample   units.Percent     `yaml:"sample" default:"100%" min:"0%" max:"100%" doc:"Share of the requests whose spans are exported, '0%' to '100%'. Where a trusted proxy sends a trace context, that decides instead; that of any other client gives the trace its name, and decides nothing."`
	Headers  map[string]string `yaml:"headers" secret:"" doc:"Headers of the requests to the collector, such as a token, but not 'Content-Type', 'Content-Encoding' and 'User-Agent'. They are secrets: neither the log nor the admin interface shows them."`
	Service  string            `yaml:"service" default:"sluice" doc:"Name of this gateway in traces, 'service.name'."`
	CA       string            `yaml:"ca" doc:"PEM file of the authorities to trust for 'endpoint'."`
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
