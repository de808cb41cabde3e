package wire

import (
	"fmt"
	"net"
	"time"
)

// DefaultKeepAlive is what connections begin with: Go's own default.
const DefaultKeepAlive = 15 * time.Second

// Tune sets what the TCP connection under c does about a peer that is silent.
// Keepalive is the time without a byte before the first keep-alive probe, and
// between probes, rounded up to whole seconds; 0 switches them off. How many
// are lost before the connection is, the system says. UserTimeout is how long
// bytes may stay unacknowledged (TCP_USER_TIMEOUT), rounded up to milliseconds;
// 0 leaves it, and where the system has no such option the error is
// [errors.ErrUnsupported].
//
// A connection that was accepted or dialed just now has [DefaultKeepAlive]
// already. A connection of another kind has nothing to set, and no error.
func Tune(c net.Conn, keepalive, userTimeout time.Duration) error {
	if w := Of(c); w != nil {
		c = w.Conn
	}
	tcp, ok := c.(*net.TCPConn)
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

func setKeepAlive(c *net.TCPConn, every time.Duration) error {
	if every <= 0 {
		return c.SetKeepAlive(false)
	}
	const leave = -1
	return c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: every, Interval: every, Count: leave})
}
