package upgrade

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"

	"sluice/internal/wstest"
)

// The offer goes over HTTP/1.1 only if the backend takes nothing else.
func TestOffer(t *testing.T) {
	noStreams := fmt.Errorf("no streams: %w", http.ErrNotSupported)
	broken, unreachable := errors.New("broken"), errors.New("unreachable")
	tests := []struct {
		name       string
		streamErr  error
		dialErr    error
		dials      int
		status     int   // of the answer
		err        error // of Offer
		unanswered bool
	}{
		{name: "over HTTP/2", status: 101},
		{name: "over HTTP/1.1", streamErr: noStreams, dials: 1, status: 403},
		{name: "a stream that fails", streamErr: broken, err: broken, unanswered: true},
		{name: "a stream that the system cannot open", streamErr: syscall.EOPNOTSUPP, err: syscall.EOPNOTSUPP, unanswered: true},
		{name: "a connection that fails", streamErr: noStreams, dialErr: unreachable, dials: 1, err: unreachable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			near, far := wstest.Sockets(t, "tcp")
			var backend sync.WaitGroup
			defer backend.Wait()
			defer near.Close()
			backend.Go(func() {
				if tt.dials > 0 && tt.dialErr == nil {
					script(t, far, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
				}
			})
			dials := 0
			c, a, err := Offer(t.Context(), func(context.Context, *http.Request) (net.Conn, *http.Response, error) {
				if tt.streamErr != nil {
					return nil, nil, tt.streamErr
				}
				return near, &http.Response{StatusCode: 200}, nil
			}, func(context.Context) (net.Conn, error) {
				dials++
				if tt.dialErr != nil {
					return nil, tt.dialErr
				}
				return near, nil
			}, offered())
			if !errors.Is(err, tt.err) || errors.As(err, new(*Unanswered)) != tt.unanswered || dials != tt.dials {
				t.Fatalf("Offer = %v with %d dials; want %v (unanswered: %v) with %d", err, dials, tt.err, tt.unanswered, tt.dials)
			}
			if tt.err == nil && (c != near || a.Status != tt.status) {
				t.Errorf("Offer = %v, %+v; want %v with status %d", c, a, near, tt.status)
			}
		})
	}
}
