package dial

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"sluice/internal/limit"
)

// socketError is the error of a system call as package net reports it.
func socketError(call string, e syscall.Errno) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError(call, e)}
}

// A failure counts as a lack of ports only while other connections to the
// endpoint are open.
func TestNoPort(t *testing.T) {
	none, refused := socketError("connect", syscall.EADDRNOTAVAIL), socketError("connect", syscall.ECONNREFUSED)
	tests := []struct {
		name string
		open int64
		err  error
		want limit.Shortage
	}{
		{"others are open", 1, none, limit.NoPorts},
		{"no other is open", 0, none, 0},
		{"at both addresses", 1, errors.Join(none, none), limit.NoPorts},
		{"at one address, while the other one refuses", 1, errors.Join(none, refused), 0},
		{"refused", 1, refused, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var open atomic.Int64
			open.Store(tt.open)
			if got := limit.ShortageOf(New(Spec{}, &open, nil).failure(t.Context(), tt.err)); got != tt.want {
				t.Errorf("ShortageOf = %v; want %v", got, tt.want)
			}
		})
	}
}
