package header

// An ID stands for the name of a field that the gateway looks at.
type ID uint8

// The known names, in the order of [names].
const (
	Other ID = iota // a name that is not known here
	Accept
	AcceptEncoding
	AcceptLanguage
	AccessControlRequestMethod
	Allow
	Authorization
	CacheControl
	Connection
	ContentEncoding
	ContentLength
	ContentType
	Cookie
	Date
	ETag
	Expect
	Forwarded
	Host
	HTTP2Settings
	IfModifiedSince
	IfNoneMatch
	KeepAlive
	LastModified
	Location
	MaxForwards
	Origin
	Proxy
	ProxyAuthenticate
	ProxyAuthorization
	ProxyConnection
	Referer
	RetryAfter
	SecWebSocketAccept
	SecWebSocketExtensions
	SecWebSocketKey
	SecWebSocketProtocol
	SecWebSocketVersion
	Server
	SetCookie
	StrictTransportSecurity
	TE
	Trailer
	TransferEncoding
	Upgrade
	UserAgent
	Vary
	Via
	XClientSAN
	XClientSubject
	XForwardedFor
	XForwardedHost
	XForwardedPort
	XForwardedPrefix
	XForwardedProto
	XRealIP
	XRequestID
	known // number of IDs
)

// names has each known name as its standard spells it.
var names = [known]string{
	Accept: "Accept", AcceptEncoding: "Accept-Encoding", AcceptLanguage: "Accept-Language",
	AccessControlRequestMethod: "Access-Control-Request-Method", Allow: "Allow", Authorization: "Authorization",
	CacheControl: "Cache-Control", Connection: "Connection", ContentEncoding: "Content-Encoding", ContentLength: "Content-Length",
	ContentType: "Content-Type", Cookie: "Cookie", Date: "Date", ETag: "ETag", Expect: "Expect", Forwarded: "Forwarded",
	Host: "Host", HTTP2Settings: "HTTP2-Settings", IfModifiedSince: "If-Modified-Since", IfNoneMatch: "If-None-Match",
	KeepAlive: "Keep-Alive", LastModified: "Last-Modified", Location: "Location", MaxForwards: "Max-Forwards", Origin: "Origin",
	Proxy: "Proxy", ProxyAuthenticate: "Proxy-Authenticate", ProxyAuthorization: "Proxy-Authorization",
	ProxyConnection: "Proxy-Connection", Referer: "Referer", RetryAfter: "Retry-After",
	SecWebSocketAccept: "Sec-WebSocket-Accept", SecWebSocketExtensions: "Sec-WebSocket-Extensions",
	SecWebSocketKey: "Sec-WebSocket-Key", SecWebSocketProtocol: "Sec-WebSocket-Protocol", SecWebSocketVersion: "Sec-WebSocket-Version",
	Server: "Server", SetCookie: "Set-Cookie", StrictTransportSecurity: "Strict-Transport-Security", TE: "TE", Trailer: "Trailer",
	TransferEncoding: "Transfer-Encoding", Upgrade: "Upgrade", UserAgent: "User-Agent", Vary: "Vary", Via: "Via",
	XClientSAN: "X-Client-San", XClientSubject: "X-Client-Subject", XForwardedFor: "X-Forwarded-For",
	XForwardedHost: "X-Forwarded-Host", XForwardedPort: "X-Forwarded-Port", XForwardedPrefix: "X-Forwarded-Prefix", XForwardedProto: "X-Forwarded-Proto",
	XRealIP: "X-Real-IP", XRequestID: "X-Request-Id",
}

// String returns the name, or "" for [Other].
func (id ID) String() string { return names[id] }

// longest is the length of the longest known name.
const longest = len("Access-Control-Request-Method")

// byLength has the known names of each length.
var byLength = func() (table [longest + 1][]ID) {
	for id := Other + 1; id < known; id++ {
		n := len(names[id])
		table[n] = append(table[n], id)
	}
	return table
}()

// Lookup returns the ID of a name in any case.
func Lookup(name string) ID {
	if len(name) > longest {
		return Other
	}
	for _, id := range byLength[len(name)] {
		if EqualFold(names[id], name) {
			return id
		}
	}
	return Other
}

var lower = func() (l [256]byte) {
	for i := range l {
		l[i] = byte(i)
		if 'A' <= i && i <= 'Z' {
			l[i] |= 0x20
		}
	}
	return l
}()

// EqualFold reports whether two strings are the same but for the case of ASCII letters.
func EqualFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower[a[i]] != lower[b[i]] {
			return false
		}
	}
	return true
}
