// Package http1 serves clients that speak HTTP/1.1 on event loops. A connection that is idle,
// or whose request has not come whole, is a slot of a loop: it has no goroutine, no buffer and
// no timer of its own. The loop forwards a request by itself where nothing has to wait but for
// bytes. Otherwise a goroutine has the connection from the end of the head to the end of the
// answer.
//
// It knows neither routes nor TLS.
package http1

import (
	"context"
	"errors"
	"net/http"
	"time"

	"sluice/internal/h1"
	"sluice/internal/header"
	"sluice/internal/message"
	"sluice/proxy/backend/dial"
	"sluice/proxy/clientio"
)

// Options is how a [Server] serves its connections.
type Options struct {
	MaxHeader     int           // bytes of a head
	MaxFields     int           // lines of a header section
	HeaderTimeout time.Duration // from the first byte of a head, or from the beginning of the connection, to its end
	IdleTimeout   time.Duration // between two requests

	// Begin returns the exchange for a request. It is called on the loop.
	Begin func(*clientio.Conn, message.Request) Exchange

	// Refuse answers what is no request, on a goroutine. The request has what could be read
	// of it. The connection is closed afterwards.
	Refuse func(context.Context, *clientio.Conn, http.ResponseWriter, message.Request, *h1.Refusal)

	// Panicked is told of a panic in a request, with the stack. The connection is closed.
	Panicked func(cause any, stack []byte)
}

// An Exchange is a request and what becomes of it. Its methods are called on the loop, and must
// not block, except for Serve.
type Exchange interface {
	// Serve answers the request, on a goroutine, as an [http.Handler] does. Ctx ends when
	// the client leaves.
	Serve(ctx context.Context, w http.ResponseWriter)

	// Forward reports whether the loop can forward the request by itself. Then the exchange
	// has an endpoint, and one of Done, Abandon and Fail has to be called.
	Forward() bool

	Dialer() *dial.Dialer                        // of the endpoint, which has a [dial.Dialer.Plain] address
	Method() string                              // of the request
	Timeouts() (response, silence time.Duration) // of the endpoint, until its answer begins and in the middle of it; 0 means none
	MinRate() float64                            // bytes a second that the client takes at least; 0 means any
	AppendHead(b []byte) []byte                  // the request for the endpoint
	EditInformational(h *header.Fields)          // of an informational answer, for the client
	EditAnswer(h *h1.Head)                       // for the client
	EditTrailer(h *header.Fields)                // of the answer, for the client

	// Done ends the exchange when its answer is sent, with so many bytes of its body, or was
	// cut by err.
	Done(status int, out int64, err error, byClient bool)

	// Abandon ends the exchange because the client has left before the answer.
	Abandon()

	// Fail notes that the endpoint has failed with err before it answered. Unreached says
	// that there was no connection. Serve has to be called next.
	Fail(err error, unreached bool)
}

// What an endpoint fails with if it is too slow.
var (
	ErrSlow   = errors.New("no answer in time")
	ErrSilent = errors.New("silence in the middle of the answer")
)
