package listen

import (
	"net/netip"

	"sluice/internal/wire"
)

// A Refusal is a connection that a listener did not serve, or closed.
type Refusal struct {
	Listener string // its configured address
	Client   netip.Addr
	Reason   Reason
	Err      error // more about the reason, or nil
}

// A Reason is why a connection was refused.
type Reason uint8

const (
	UntrustedProxy   Reason = iota // 'proxy_protocol' is on and the peer is not among 'trusted_proxies'
	BadProxyHeader                 // there was no valid PROXY header
	ConnectionRate                 // the client is over 'connection_rate'
	ConnectionsPerIP               // the client has 'connections_per_ip' open
	Flood                          // the client sent far more over HTTP/2 than its requests held
)

func (r Reason) String() string {
	return [...]string{"untrusted_proxy", "bad_proxy_header", "connection_rate", "connections_per_ip", "flood"}[r]
}

// refuse closes a connection and reports why.
func (l *Listener) refuse(c *wire.Conn, client netip.Addr, why Reason, err error) {
	l.set.env.Refused(Refusal{l.name, client, why, err})
	c.Close()
}
