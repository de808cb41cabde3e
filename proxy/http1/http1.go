// Package http1 serves clients that speak HTTP/1.1 on event loops. A connection that is idle,
// or whose request has not come whole, is a slot of a loop: it has no goroutine, no buffer and
// no timer of its own. The loop forwards a request by itself where nothing has to wait but for
// bytes. Otherwise a goroutine has the connection from the end of the head to the end of the
// answer.
//
// It knows no routes, and makes no TLS handshakes.
package http1

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"sluice/internal/h1"
	"sluice/internal/header"
	"sluice/internal/message"
	"sluice/internal/record"
	"sluice/proxy/backend/dial"
	"sluice/proxy/clientio"
)

// Options is how a [Server] serves its connections.
type Options struct {
	MaxHeader     int           // bytes of a head
	MaxFields     int           // lines of a header section
	HeaderTimeout time.Duration // from the first byte of a head, or from the beginning of the connection, to its end
	IdleTimeout   time.Duration // between two requests

	// Begin returns the exchange for a request, whose body is for [Exchange].Serve. It is
	// called on the loop.
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
	// Serve answers the request, on a goroutine, as an [http.Handler] does. The trailer
	// has its values once the body was read to its end. Ctx ends when the client leaves.
	Serve(ctx context.Context, w http.ResponseWriter, body io.ReadCloser, trailer *http.Header)

	// Forward reports whether the loop can forward the request by itself. Then the exchange
	// has an endpoint, and one of Done, Abandon and Fail has to be called.
	Forward() bool

	Dialer() *dial.Dialer // of the endpoint, which is [dial.Dialer.OnLoops]
	Connected()           // a connection was opened for the request
	Method() string       // of the request
	Upgrades() bool       // the request is a handshake: a 101 makes the connections a session
	Timeouts() Timeouts
	MinRate() float64                                   // bytes a second that the client takes at least; 0 means any
	AppendHead(b []byte, scratch *header.Fields) []byte // the request for the endpoint; scratch is memory to use
	EditInformational(h *header.Fields)                 // of an informational answer, for the client
	EditAnswer(h *h1.Head)                              // for the client
	EditTrailer(h *header.Fields)                       // of the answer, for the client

	MaxBody() int64                      // bytes of the request's body; 0 means any number
	Repeatable() bool                    // the request may be sent twice
	EditRequestTrailer(h *header.Fields) // of the request, for the endpoint

	// Done ends the exchange when its answer is sent, or was cut.
	Done(Result)

	// Abandon ends the exchange because the client has left before the answer.
	Abandon()

	// Abort gives back what the exchange has, after a panic in any of its methods. It does
	// nothing if the exchange is over.
	Abort()

	// Fail notes that the endpoint has failed with err before it answered, or the client if
	// the stage is Receiving. So many bytes of the request's body were read. Serve has to
	// be called next.
	Fail(err error, when Stage, in int64)

	// AppendSwitch checks the 101 of an endpoint and appends that for the client.
	AppendSwitch(b []byte, h *h1.Head) ([]byte, error)

	// Join ends the exchange when the client has the 101: the exchange owns both sockets
	// then. Loop is the number of the loop that has them in its epoll set.
	Join(loop int, client, backend Socket)
}

// Timeouts is how long an endpoint may take. 0 means no limit.
type Timeouts struct {
	Total    time.Duration // from the beginning of the exchange to that of the answer
	Response time.Duration // from the connection to the beginning of the answer
	Silence  time.Duration // in the middle of the answer
}

// A Stage is how far an exchange with an endpoint has come.
type Stage uint8

const (
	Connecting Stage = iota // there was no connection
	Asking                  // nothing has come of an answer
	Answering
	Receiving // the client has failed, in the body of its request
)

// A Result is how an exchange has ended.
type Result struct {
	Status   int   // sent to the client
	In, Out  int64 // bytes of the request's and of the answer's body
	Err      error // what has cut the answer, or nil
	ByClient bool  // and that was the client
}

// A Socket is a connected socket, and what was read from it and not used.
type Socket struct {
	FD     int32
	Early  []byte        // in plain
	Unread []byte        // as it came: with TLS, the beginning of a record
	State  *record.State // of TLS; nil without. It is the receiver's
}

// What an endpoint fails with if it is too slow.
var (
	ErrSlow   = errors.New("no answer in time")
	ErrSilent = errors.New("silence in the middle of the answer")

	// ErrTooLarge is what a client fails with whose body is over [Exchange].MaxBody.
	ErrTooLarge = errors.New("the request's body is too large")
)
