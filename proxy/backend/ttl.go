package backend

import (
	"context"
	"encoding/binary"
	"net"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// leastTTL is how long answers of DNS are valid, and whether all were asked for. The resolver of package net
// does all that resolv.conf and the hosts file ask for, but keeps the TTLs to
// itself: they are read from the messages on their way to it.
type leastTTL struct {
	mu    sync.Mutex
	least time.Duration
	short error // no server could be asked for want of something here
}

func (t *leastTTL) get() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.least
}

// shortage returns why a part of the answers may be missing, if that is for want
// of something here.
func (t *leastTTL) shortage() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.short
}

func (t *leastTTL) failed(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ShortageOf(err) != 0 {
		t.short = err
	}
}

// resolver returns one that asks server, or those of the system for "".
func (t *leastTTL) resolver(server string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if server != "" {
			address = server
		}
		var d net.Dialer
		c, err := d.DialContext(ctx, network, address)
		if err != nil {
			t.failed(err)
			return nil, err
		}
		context.AfterFunc(ctx, func() { c.Close() }) // the resolver only knows deadlines
		if u, ok := c.(*net.UDPConn); ok {
			return &datagrams{u, t}, nil
		}
		return &stream{Conn: c, ttl: t}, nil
	}}
}

// message takes in the TTLs of a response. What is malformed is left to the
// resolver.
func (t *leastTTL) message(b []byte) {
	least, ok := messageTTL(b)
	if !ok {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.least = min(t.least, least)
}

// messageTTL returns the least TTL of the answers in a response, if it has any.
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

// datagrams is a connection to a name server where each Read is a message. It
// is a net.PacketConn, by which the resolver tells.
type datagrams struct {
	*net.UDPConn
	ttl *leastTTL
}

func (c *datagrams) Read(p []byte) (int, error) {
	n, err := c.UDPConn.Read(p)
	c.ttl.message(p[:n])
	return n, err
}

// stream is a connection to a name server for one message, with its length in
// front (RFC 1035, section 4.2.2).
type stream struct {
	net.Conn
	ttl  *leastTTL
	read []byte
}

func (c *stream) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read = append(c.read, p[:n]...)
	if len(c.read) >= 2 {
		if length := int(binary.BigEndian.Uint16(c.read)); len(c.read) == 2+length {
			c.ttl.message(c.read[2:])
		}
	}
	return n, err
}
