package limit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
)

func TestShortageOf(t *testing.T) {
	socket := func(e syscall.Errno) error {
		return fmt.Errorf("endpoint a: %w", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", e)})
	}
	tests := []struct {
		name string
		err  error
		want Shortage
	}{
		{"no error", nil, 0},
		{"descriptors of the process", socket(syscall.EMFILE), NoDescriptors},
		{"descriptors of the system", socket(syscall.ENFILE), NoSystemDescriptors},
		{"memory", socket(syscall.ENOMEM), NoMemory},
		{"buffers", socket(syscall.ENOBUFS), NoMemory},
		{"descriptors, for a file", &os.PathError{Op: "open", Path: "a", Err: syscall.EMFILE}, NoDescriptors},
		{"one of two errors", errors.Join(io.EOF, socket(syscall.EMFILE)), NoDescriptors},
		{"in a look-up, where only the text is kept", &net.DNSError{Err: socket(syscall.EMFILE).Error(), Name: "a"}, NoDescriptors},
		{"an unknown name", &net.DNSError{Err: "no such host", Name: "a"}, 0},
		{"refused", socket(syscall.ECONNREFUSED), 0},
		{"no such address, or no port: it cannot be told", socket(syscall.EADDRNOTAVAIL), 0},
		{"a time-out", context.DeadlineExceeded, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := ShortageOf(tt.err); got != tt.want {
				t.Errorf("ShortageOf(%v) = %v; want %v", tt.err, got, tt.want)
			}
		})
	}
}
