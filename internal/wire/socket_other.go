//go:build !linux

package wire

import (
	"errors"
	"time"
)

// Gone returns false on this system: only a read would tell.
func (c *Conn) Gone() bool { return false }

// Readable returns false on this system.
func (c *Conn) Readable() bool { return false }

func tcpProgress(tcpSocket) (taken, received, waiting int64, ok bool) { return 0, 0, 0, false }

func setUserTimeout(tcpSocket, time.Duration) error { return errors.ErrUnsupported }
