//go:build !linux

package wire

import (
	"errors"
	"net"
	"time"
)

func setUserTimeout(*net.TCPConn, time.Duration) error { return errors.ErrUnsupported }
