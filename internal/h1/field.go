// Package h1 is HTTP/1.1 without I/O (RFC 9112): bytes in, the head of a message or a
// refusal out, and the framing of bodies. It is strict where the RFC lets an intermediary
// be strict. What it accepts has one meaning; [Head.Append...] writes it in one form.
package h1

// A Field is one line of a header section or of a trailer section. Its strings are parts
// of the one string that the head was copied to.
type Field struct {
	Name  string // canonical where ID is known, else as it was sent
	Value string // without white space at its ends
	ID    ID     // Other for a name that the package does not know
}

// An ID stands for the name of a field that the gateway looks at.
type ID uint8

// The known names, in the order of [names].
const (
	Other ID = iota
	Accept
	AcceptEncoding
	AcceptLanguage
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
	SecWebSocketAccept
	SecWebSocketExtensions
	SecWebSocketKey
	SecWebSocketProtocol
	SecWebSocketVersion
	Server
	SetCookie
	TE
	Trailer
	TransferEncoding
	Upgrade
	UserAgent
	Vary
	Via
	XForwardedFor
	XForwardedHost
	XForwardedPort
	XForwardedProto
	XRealIP
	XRequestID
	known // number of IDs
)

// names has the canonical form of each known name, as net/http writes it.
var names = [known]string{
	Accept: "Accept", AcceptEncoding: "Accept-Encoding", AcceptLanguage: "Accept-Language", Authorization: "Authorization",
	CacheControl: "Cache-Control", Connection: "Connection", ContentEncoding: "Content-Encoding", ContentLength: "Content-Length",
	ContentType: "Content-Type", Cookie: "Cookie", Date: "Date", ETag: "Etag", Expect: "Expect", Forwarded: "Forwarded",
	Host: "Host", IfModifiedSince: "If-Modified-Since", IfNoneMatch: "If-None-Match", KeepAlive: "Keep-Alive",
	LastModified: "Last-Modified", Location: "Location", MaxForwards: "Max-Forwards", Origin: "Origin", Proxy: "Proxy",
	ProxyAuthenticate: "Proxy-Authenticate", ProxyAuthorization: "Proxy-Authorization", ProxyConnection: "Proxy-Connection",
	Referer: "Referer", SecWebSocketAccept: "Sec-Websocket-Accept", SecWebSocketExtensions: "Sec-Websocket-Extensions",
	SecWebSocketKey: "Sec-Websocket-Key", SecWebSocketProtocol: "Sec-Websocket-Protocol", SecWebSocketVersion: "Sec-Websocket-Version",
	Server: "Server", SetCookie: "Set-Cookie", TE: "Te", Trailer: "Trailer", TransferEncoding: "Transfer-Encoding",
	Upgrade: "Upgrade", UserAgent: "User-Agent", Vary: "Vary", Via: "Via", XForwardedFor: "X-Forwarded-For",
	XForwardedHost: "X-Forwarded-Host", XForwardedPort: "X-Forwarded-Port", XForwardedProto: "X-Forwarded-Proto",
	XRealIP: "X-Real-Ip", XRequestID: "X-Request-Id",
}

// String returns the canonical name, or "" for [Other].
func (id ID) String() string { return names[id] }

// longest is the length of the longest known name.
const longest = len("Sec-Websocket-Extensions")

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
		if equalFold(names[id], name) {
			return id
		}
	}
	return Other
}

// equalFold reports whether two names of the same length are the same but for the case of
// ASCII letters. Both are tokens.
func equalFold(a, b string) bool {
	for i := range len(a) {
		if lower[a[i]] != lower[b[i]] {
			return false
		}
	}
	return true
}

// A class says what a byte may be part of.
type class uint8

const (
	inToken  class = 1 << iota // RFC 9110, section 5.6.2
	inValue                    // of a field: all but controls; HTAB and obs-text too
	inTarget                   // printable and not a space; obs-text too, which clients send
	inHost                     // RFC 3986, section 3.2.2: reg-name, IP literal, port
)

var classes, lower = func() (c [256]class, l [256]byte) {
	const other = "!#$%&'*+-.^_`|~"
	for i := range c {
		b := byte(i)
		l[i] = b
		letter := b|0x20 >= 'a' && b|0x20 <= 'z'
		digit := b >= '0' && b <= '9'
		if b >= 'A' && b <= 'Z' {
			l[i] = b | 0x20
		}
		switch {
		case letter || digit:
			c[i] = inToken | inValue | inTarget | inHost
		case b > ' ' && b != 0x7f:
			c[i] = inValue | inTarget
		case b == ' ' || b == '\t':
			c[i] = inValue
		}
	}
	for _, b := range []byte(other) {
		c[b] |= inToken
	}
	for _, b := range []byte("-._~%!$&'()*+,;=:[]") {
		c[b] |= inHost
	}
	return c, l
}()

// all reports whether s has only bytes of a class.
func all(s string, of class) bool {
	for i := range len(s) {
		if classes[s[i]]&of == 0 {
			return false
		}
	}
	return true
}
