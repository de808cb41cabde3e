package wire

import (
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// tcpSocket is a socket of TCP: a *net.TCPConn, or one of an event loop.
type tcpSocket interface {
	syscall.Conn
	SetKeepAlive(bool) error
	SetKeepAliveConfig(net.KeepAliveConfig) error
}

// progress counts the bytes that Reads have returned and Writes have taken.
type progress struct{ in, out atomic.Int64 }

// Progress returns how many bytes the peer has taken and sent in all. Bytes in the send
// queue of this side were not taken. If the system does not know (see
// [Conn.TCPProgress]), these are the bytes of Writes and Reads.
func (c *Conn) Progress() (taken, received int64) {
	if taken, received, ok := c.TCPProgress(); ok {
		return taken, received
	}
	return c.progress.out.Load(), c.progress.in.Load()
}

// TCPProgress returns how many bytes the peer's TCP has acknowledged and sent in all. It
// returns false for other sockets, and on systems other than Linux.
func (c *Conn) TCPProgress() (taken, received int64, ok bool) {
	if tcp, isTCP := c.Conn.(tcpSocket); isTCP {
		taken, received, _, ok = tcpProgress(tcp)
	}
	return taken, received, ok
}

// SendQueue returns how many bytes the peer's TCP has acknowledged in all, and about how
// many wait for it in this system. It returns zeros for other sockets, and on systems
// other than Linux.
func (c *Conn) SendQueue() (taken, waiting int64) {
	if tcp, isTCP := c.Conn.(tcpSocket); isTCP {
		taken, _, waiting, _ = tcpProgress(tcp)
	}
	return taken, waiting
}

// DefaultKeepAlive is the TCP keep-alive that connections begin with: Go's own default.
const DefaultKeepAlive = 15 * time.Second

// Tune sets how the TCP connection under c treats a peer that is silent. Keepalive is the
// time without a byte before the first keep-alive probe, and the time between probes,
// rounded up to whole seconds; 0 turns them off. The system decides how many probes may
// be lost. UserTimeout is how long bytes may stay unacknowledged (TCP_USER_TIMEOUT),
// rounded up to milliseconds; 0 leaves it unchanged. If the system has no such option,
// the error is [errors.ErrUnsupported].
//
// C must have [DefaultKeepAlive], as a connection has when it was accepted or dialed. If
// it is not a TCP connection, Tune does nothing.
func Tune(c net.Conn, keepalive, userTimeout time.Duration) error {
	if w := Of(c); w != nil {
		c = w.Conn
	}
	tcp, ok := c.(tcpSocket)
	if !ok {
		return nil
	}
	if keepalive != DefaultKeepAlive {
		if err := setKeepAlive(tcp, keepalive); err != nil {
			return fmt.Errorf("set keep-alive to %v: %w", keepalive, err)
		}
	}
	if userTimeout <= 0 {
		return nil
	}
	if err := setUserTimeout(tcp, userTimeout); err != nil {
		return fmt.Errorf("set TCP_USER_TIMEOUT to %v: %w", userTimeout, err)
	}
	return nil
}

func setKeepAlive(c tcpSocket, every time.Duration) error {
	if every <= 0 {
		return c.SetKeepAlive(false)
	}
	const unchanged = -1
	return c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: every, Interval: every, Count: unchanged})
}
