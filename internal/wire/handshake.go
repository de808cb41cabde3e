package wire

import (
	"crypto/tls"
	"time"
)

// handshakeTimes is when the TLS handshake of a connection was made.
type handshakeTimes struct{ began, ended time.Time }

// TimeHandshake notes that a TLS handshake has begun, and returns the configuration for it: a clone of
// base that notes its end, when only the Finished message of the client is missing.
func (c *Conn) TimeHandshake(base *tls.Config) *tls.Config {
	began := time.Now()
	config := base.Clone()
	config.VerifyConnection = func(s tls.ConnectionState) error {
		if base.VerifyConnection != nil {
			if err := base.VerifyConnection(s); err != nil {
				return err
			}
		}
		c.handshake.Store(&handshakeTimes{began, time.Now()})
		return nil
	}
	return config
}

// EndHandshake notes that the TLS handshake has ended just now, if it was timed.
func (c *Conn) EndHandshake() {
	if h := c.handshake.Load(); h != nil {
		c.handshake.Store(&handshakeTimes{h.began, time.Now()})
	}
}

// TakeHandshake returns when the TLS handshake was made. It is false if that is not known, and from the
// second call on.
func (c *Conn) TakeHandshake() (began, ended time.Time, ok bool) {
	h := c.handshake.Load()
	if h == nil || !c.handshake.CompareAndSwap(h, nil) {
		return began, ended, false
	}
	return h.began, h.ended, true
}
