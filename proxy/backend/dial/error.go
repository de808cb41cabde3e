package dial

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"syscall"

	"sluice/internal/limit"
)

// An Error says that an endpoint could not be reached, and why.
type Error struct {
	Backend, Endpoint string
	Err               error
	NoPort            bool // no local port is left to connect from; other connections to the endpoint are open
}

func (e *Error) Error() string {
	return fmt.Sprintf("backend %s: endpoint %s: %v", e.Backend, e.Endpoint, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Shortage is used by [limit.ShortageOf].
func (e *Error) Shortage() limit.Shortage {
	if e.NoPort {
		return limit.NoPorts
	}
	return 0
}

// errNoStreams says that an endpoint takes WebSockets over HTTP/1.1 alone: by
// the Spec, or because it does not offer RFC 8441.
var errNoStreams = fmt.Errorf("the endpoint does not offer WebSockets over HTTP/2: %w", http.ErrNotSupported)

// failure returns the error of a connection that failed with err, or because
// ctx has ended.
func (d *Dialer) failure(ctx context.Context, err error) *Error {
	if cause := context.Cause(ctx); cause != nil && limit.ShortageOf(err) == 0 {
		err = cause
	}
	// The same error means that no local port is left or that the address cannot
	// be reached. Where other connections are open, it is the port.
	return &Error{Backend: d.spec.Backend, Endpoint: d.spec.Endpoint, Err: err, NoPort: noAddress(err) && d.open.Load() > 0}
}

// noAddress reports whether all connections that err tells of failed with
// EADDRNOTAVAIL.
func noAddress(err error) bool {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return errors.Is(err, syscall.EADDRNOTAVAIL)
	}
	for _, one := range joined.Unwrap() {
		if !noAddress(one) {
			return false
		}
	}
	return true
}
