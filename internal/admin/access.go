package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// access is who may do what.
type access struct {
	token    [sha256.Size]byte // hash of the token; of "" where there is none, which nobody may show
	hasToken bool
	readOnly bool
	pprof    bool
	tls      *tls.Config // of TCP; nil means plain HTTP
	tlsKey   string
	host     string // of the address over TCP, as configured
}

func newAccess(o *Options) *access {
	host, _, _ := net.SplitHostPort(o.Address)
	return &access{token: sha256.Sum256([]byte(o.Token)), hasToken: o.Token != "", readOnly: o.ReadOnly, pprof: o.Pprof, tls: o.TLS, tlsKey: o.TLSKey, host: host}
}

type whoKey struct{}
type peerKey struct{}
type connKey struct{}

// withPeer keeps who is at the other end of a connection.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	l := limitedOf(c)
	ctx = context.WithValue(ctx, connKey{}, l)
	if l != nil {
		c = l.Conn
	}
	who := Who{UID: -1}
	if u, ok := c.(*net.UnixConn); ok {
		who.UID, who.PID = peerOf(u)
	} else {
		who.Address = c.RemoteAddr().String()
	}
	return context.WithValue(ctx, peerKey{}, who)
}

// check says who sends a request, and why it is refused if it is. Open says that what it asks for
// needs no token.
func (a *access) check(kind string, r *http.Request, open bool) (Who, *failure) {
	who, _ := r.Context().Value(peerKey{}).(Who)
	if wrong := crossSite(r); wrong != "" {
		return who, &failure{http.StatusForbidden, wrong}
	}
	if kind != kindTCP {
		return who, nil
	}
	if c, _ := r.Context().Value(connKey{}).(*limitedConn); c != nil && c.secure != a.tls {
		return who, &failure{http.StatusMisdirectedRequest, "the TLS of this interface has changed since this connection was opened: open another"}
	}
	token, bearer := cutPrefixFold(r.Header.Get("Authorization"), "Bearer ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	if bearer && len(r.Header.Values("Authorization")) == 1 && a.hasToken && subtle.ConstantTimeCompare(sum[:], a.token[:]) == 1 {
		who.Token = "admin"
		return who, nil // by whatever name it comes: a page of another site has no token
	}
	if !a.knowsHost(r.Host) {
		return who, &failure{http.StatusMisdirectedRequest, "without a token the host " + shorten(r.Host) + " is not this interface: ask by its address, by localhost, or by the host that 'admin' has"}
	}
	if open {
		return who, nil
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		who.Token = "certificate of " + r.TLS.VerifiedChains[0][0].Subject.String()
		return who, nil
	}
	if !bearer || len(r.Header.Values("Authorization")) > 1 {
		return who, &failure{http.StatusUnauthorized, "a token is missing: send 'Authorization: Bearer TOKEN' with the token of 'admin'"}
	}
	return who, &failure{http.StatusUnauthorized, "the token is wrong"}
}

// crossSite returns why a request may come from a page of another site, or "". Browsers send these
// fields; other clients do not.
func crossSite(r *http.Request) string {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
	default:
		return "a page of another site must not use this interface"
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return ""
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
		return "a page of " + shorten(origin) + " must not use this interface"
	}
	return ""
}

// knowsHost reports whether a Host is one that this interface has. A page that rebinds its own
// name to this address has another.
func (a *access) knowsHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return strings.EqualFold(name, "localhost") || a.host != "" && strings.EqualFold(name, a.host)
}

// cutPrefixFold is strings.CutPrefix without regard to the case of ASCII letters.
func cutPrefixFold(s, prefix string) (after string, found bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}
