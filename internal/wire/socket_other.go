//go:build !linux

package wire

import (
	"errors"
	"net"
	"time"
)

// Gone returns false on this system: only a read would tell.
func (c *Conn) Gone() bool { return false }

// Readable returns false on this system.
func (c *Conn) Readable() bool { return false }

func tcpProgress(*net.TCPConn) (taken, received, waiting int64, ok bool) { return 0, 0, 0, false }

func setUserTimeout(*net.TCPConn, time.Duration) error { return errors.ErrUnsupported }
