package dns

import (
	"context"
	"encoding/binary"
	"net"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"sluice/internal/limit"
)

// leastTTL is the least TTL among the answers to one look-up, and whether a
// shortage kept the resolver from a name server. The resolver of package net
// follows resolv.conf and the hosts file, but does not return TTLs: they are
// read from the messages on their way to it.
type leastTTL struct {
	mu       sync.Mutex
	least    time.Duration
	shortage error // why a server could not be asked; nil unless it was a shortage here
}

// get returns the least TTL, and why a part of the answers may be missing, if
// that is because of a shortage here.
func (t *leastTTL) get() (least time.Duration, shortage error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.least, t.shortage
}

func (t *leastTTL) dialFailed(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if limit.ShortageOf(err) != 0 {
		t.shortage = err
	}
}

// resolver returns a resolver that asks server, or the system's name servers
// if that is "".
func (t *leastTTL) resolver(server string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if server != "" {
			address = server
		}
		var d net.Dialer
		c, err := d.DialContext(ctx, network, address)
		if err != nil {
			t.dialFailed(err)
			return nil, err
		}
		context.AfterFunc(ctx, func() { c.Close() }) // the resolver itself obeys only the deadline
		if u, ok := c.(*net.UDPConn); ok {
			return &udpConn{u, t}, nil
		}
		return &tcpConn{Conn: c, ttl: t}, nil
	}}
}

// add reads the TTLs of a response. It ignores malformed messages, which the
// resolver handles.
func (t *leastTTL) add(message []byte) {
	least, ok := messageTTL(message)
	if !ok {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.least = min(t.least, least)
}

// messageTTL returns the least TTL of the answers in a response. It is not ok
// for a response without answers, and for what is no response.
func messageTTL(b []byte) (least time.Duration, ok bool) {
	var p dnsmessage.Parser
	if h, err := p.Start(b); err != nil || !h.Response {
		return 0, false
	}
	if p.SkipAllQuestions() != nil {
		return 0, false
	}
	for {
		h, err := p.AnswerHeader()
		if err != nil {
			return least, ok && err == dnsmessage.ErrSectionDone
		}
		if ttl := time.Duration(h.TTL&^(1<<31)) * time.Second; !ok || ttl < least {
			least, ok = ttl, true
		}
		if p.SkipAnswer() != nil {
			return 0, false
		}
	}
}

// udpConn is a connection to a name server where each Read is one message. The
// resolver tells it from a stream by its being a net.PacketConn.
type udpConn struct {
	*net.UDPConn
	ttl *leastTTL
}

func (c *udpConn) Read(p []byte) (int, error) {
	n, err := c.UDPConn.Read(p)
	c.ttl.add(p[:n])
	return n, err
}

// tcpConn is a connection to a name server for one message, which its length
// precedes (RFC 1035, section 4.2.2).
type tcpConn struct {
	net.Conn
	ttl  *leastTTL
	read []byte
}

func (c *tcpConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read = append(c.read, p[:n]...)
	if len(c.read) >= 2 {
		if length := int(binary.BigEndian.Uint16(c.read)); len(c.read) == 2+length {
			c.ttl.add(c.read[2:])
		}
	}
	return n, err
}
