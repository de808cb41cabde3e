// Package http1 serves clients that speak HTTP/1.1 on event loops. A connection that is idle,
// or whose request has not come whole, is a slot of a loop: it has no goroutine, no buffer and
// no timer of its own. A goroutine has the connection from the end of a request's head to the
// end of the answer.
//
// It knows neither routes nor TLS.
package http1

import (
	"net/http"
	"time"

	"sluice/internal/h1"
	"sluice/internal/message"
	"sluice/proxy/clientio"
)

// Options is how a [Server] serves its connections.
type Options struct {
	MaxHeader     int           // bytes of a head
	MaxFields     int           // lines of a header section
	HeaderTimeout time.Duration // from the first byte of a head, or from the beginning of the connection, to its end
	IdleTimeout   time.Duration // between two requests

	// Handler answers a request, as an [http.Handler] does. It may panic with
	// [http.ErrAbortHandler] to cut the answer.
	Handler func(*clientio.Conn, http.ResponseWriter, message.Request)

	// Refuse answers what is no request. The request has what could be read of it. The
	// connection is closed afterwards.
	Refuse func(*clientio.Conn, http.ResponseWriter, message.Request, *h1.Refusal)

	// Panicked is told of a panic of Handler or Refuse, with the stack. The connection is
	// closed.
	Panicked func(cause any, stack []byte)
}
