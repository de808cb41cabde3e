// Package forward is one HTTP exchange: it streams a client's request to a backend
// and the answer back. It knows neither routes nor endpoints, and never tunnels.
package forward

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"time"

	"sluice/internal/fieldname"
	"sluice/internal/header"
	"sluice/internal/hop"
	"sluice/internal/message"
)

// An Exchange is how a request is forwarded.
type Exchange struct {
	Backend http.RoundTripper
	Path    string               // for the backend; escaped
	Origin  *Origin              // of the request
	ID      string               // for the X-Request-Id header
	Edit    func(*header.Fields) // changes the header for the backend; a Host in it becomes the request's host
	Via     bool                 // add Via headers, in both directions
	Reuse   func(net.Conn)       // called before a kept connection is used again; may be nil
	// Connected is called when the request has got a connection that is new; it may be nil.
	Connected func()
	// Waiting returns how many bytes the backend has taken of a connection, and how
	// many the system still holds for it. It may be nil.
	Waiting func(net.Conn) (taken, waiting int64)

	// ToBackend and ToClient are the fields that only the gateway may send there.
	// They are removed from trailers and informational answers. Edit and the
	// ResponseWriter must remove them from the headers themselves.
	ToBackend, ToClient fieldname.Set

	MaxBody int64 // bytes of the request's body; 0 for no limit
	// Response is the time for the backend to take each piece of the request, and
	// then to begin its answer. 0 is no limit.
	Response time.Duration
	Silence  time.Duration // for the backend, in the middle of an answer; 0 for no limit
}

// A Result is how an exchange ended.
type Result struct {
	Status  int   // sent to the client; 0 if nothing was sent, and the caller has to answer
	In, Out int64 // bytes of the request's and of the answer's body
	Err     error // an *Error, or nil
}

// An Error is what ended an exchange early.
type Error struct {
	Client bool   // on the client's side, else on the backend's
	Stage  string // what the gateway was doing
	Err    error
}

func (e *Error) Error() string {
	side := "backend"
	if e.Client {
		side = "client"
	}
	return fmt.Sprintf("%s: %s: %v", side, e.Stage, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// ErrTooLarge says that a request's body is over the limit.
var ErrTooLarge = errors.New("the request's body is too large")

// errSlowAnswer says that the backend took too long for the request or the answer.
// It is a timeout.
type errSlowAnswer time.Duration

func (e errSlowAnswer) Error() string { return fmt.Sprintf("no answer within %v", time.Duration(e)) }
func (e errSlowAnswer) Timeout() bool { return true }

// Do forwards r and copies the answer to w. If the Result has a status and an
// error, the answer was cut off, and the client must see that it is incomplete:
// the caller panics with [http.ErrAbortHandler].
func (x *Exchange) Do(w http.ResponseWriter, r *message.Request) (result Result) {
	if x.MaxBody > 0 && r.ContentLength > x.MaxBody {
		return Result{Err: &Error{Client: true, Stage: "reading the request's head", Err: ErrTooLarge}}
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	early := newInformational(w, r, &x.ToClient)
	sending := &progress{read: x.Waiting}
	body := &requestBody{
		request: r, limit: x.MaxBody, proceed: early.proceed, reserved: &x.ToBackend,
		slow: timeout{after: x.Response, onStart: sending.mark},
	}
	body.slow.call = func() {
		if sending.made() {
			body.slow.start()
			return
		}
		cancel(errSlowAnswer(x.Response))
	}
	defer func() { result.In = body.end() }()
	defer body.slow.stop()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			sending.setConn(i.Conn)
			switch {
			case i.Reused && x.Reuse != nil:
				x.Reuse(i.Conn)
			case !i.Reused && x.Connected != nil:
				x.Connected()
			}
		},
		Got1xxResponse: early.pass,
		WroteRequest:   func(httptrace.WroteRequestInfo) { body.slow.start() },
	})

	res, err := x.Backend.RoundTrip(x.outgoing(ctx, r, body))
	body.slow.stop()
	early.end()
	if err != nil {
		body.end()
		closeIfUnfinished(w, r, body)
		return Result{Err: x.failure(ctx, r, body, &Error{Stage: "sending the request", Err: err})}
	}
	defer res.Body.Close()
	closeIfUnfinished(w, r, body)
	switch {
	case res.StatusCode == http.StatusSwitchingProtocols:
		return Result{Err: &Error{Stage: "reading the answer", Err: errors.New("101 to a request that asked for no upgrade")}}
	case res.StatusCode < 100: // net/http reads such a status, but panics when it writes it
		return Result{Err: &Error{Stage: "reading the answer", Err: fmt.Errorf("%03d is no status", res.StatusCode)}}
	}
	if x.Silence > 0 {
		res.Body = &timedBody{ReadCloser: res.Body, limit: x.Silence, taken: body.read.Load, cancel: cancel}
	}
	result = x.answer(w, res)
	var e *Error
	if errors.As(result.Err, &e) && !e.Client {
		result.Err = x.failure(ctx, r, body, e)
	}
	return result
}

// closeIfUnfinished makes an HTTP/1 connection close after an answer that begins
// before its request has ended. Otherwise net/http would read and drop the rest of
// the body when the answer begins, and could take a part of it for the next
// request.
func closeIfUnfinished(w http.ResponseWriter, r *message.Request, body *requestBody) {
	if r.ProtoMajor == 1 && r.ContentLength != 0 && body.unfinished() {
		w.Header()["Connection"] = []string{"close"}
	}
}

// failure returns the error of an exchange that failed with err at the backend,
// which may come from the client or from a timeout.
func (x *Exchange) failure(ctx context.Context, r *message.Request, body *requestBody, err *Error) *Error {
	var slow errSlowAnswer
	var silent errSilent
	switch failed := body.failed(); {
	case failed != nil:
		return &Error{Client: true, Stage: "reading the request's body", Err: failed}
	case r.Context().Err() != nil:
		return &Error{Client: true, Stage: "waiting for the answer", Err: errors.New("the client went away")}
	case errors.As(context.Cause(ctx), &slow):
		return &Error{Stage: "waiting for the answer", Err: slow}
	case errors.As(context.Cause(ctx), &silent):
		return &Error{Stage: "reading the answer", Err: silent}
	}
	return err
}

// outgoing returns the request for the backend.
func (x *Exchange) outgoing(ctx context.Context, r *message.Request, body *requestBody) *http.Request {
	path, err := url.PathUnescape(x.Path)
	if err != nil {
		path = x.Path
	}
	out := &http.Request{
		Method:        r.Method,
		URL:           &url.URL{Path: path, RawPath: x.Path, RawQuery: r.RawQuery, ForceQuery: r.ForceQuery},
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Host:          r.Host,
		ContentLength: r.ContentLength,
	}
	if r.ContentLength != 0 {
		out.Body = body
	}
	if r.ContentLength < 0 {
		out.TransferEncoding = []string{"chunked"} // otherwise the transport probes the body in a goroutine of its own
		if body.trailer = announcedTrailer(r.Trailer(), &x.ToBackend); body.trailer == nil {
			body.trailer = make(http.Header)
		}
		out.Trailer = body.trailer
	}
	h := make(header.Fields, 0, len(r.Header)+spareFields)
	x.setHeader(&h, r)
	if host := h.Get(header.Host); host != "" {
		out.Host = host
		h.Del(header.Host)
	}
	out.Header = h.HTTP()
	if !h.Has(header.UserAgent) {
		out.Header["User-Agent"] = nil // otherwise the transport sends its own
	}
	return out.WithContext(ctx)
}

// setHeader makes h, whose memory is used again, the header for the backend.
func (x *Exchange) setHeader(h *header.Fields, r *message.Request) {
	*h = append((*h)[:0], r.Header...)
	hop.Strip(h)
	if r.Header.HasToken(header.TE, "trailers") {
		h.Add(header.TE, "trailers")
	}
	x.Origin.Set(h)
	h.Set(header.XRequestID, x.ID)
	if x.Via {
		AddVia(h, r.ProtoMajor, r.ProtoMinor)
	}
	x.Edit(h)
}

// spareFields is how many fields the gateway adds to most requests, at most.
const spareFields = 12

// AppendHead appends the head of r as it is for the backend, over HTTP/1.1. H is memory to use.
func (x *Exchange) AppendHead(b []byte, r *message.Request, h *header.Fields) []byte {
	x.setHeader(h, r)
	host := r.Host
	if set := h.Get(header.Host); set != "" {
		host = set
	}
	h.DelFunc(func(f *header.Field) bool { return f.ID == header.Host || f.ID == header.ContentLength })
	b = append(append(b, r.Method...), ' ')
	b = append(append(b, r.WithQuery(x.Path)...), " HTTP/1.1\r\nHost: "...)
	b = append(append(b, host...), "\r\n"...)
	b = h.Append(b)
	switch {
	case r.ContentLength > 0 || r.ContentLength == 0 && meansBody(r.Method):
		b = append(b, "Content-Length: "...)
		b = append(strconv.AppendInt(b, r.ContentLength, 10), "\r\n"...)
	case r.ContentLength < 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		for name := range r.Trailer() {
			if allowedInTrailer(name, &x.ToBackend) {
				b = append(append(append(b, "Trailer: "...), name...), "\r\n"...)
			}
		}
	}
	return append(b, "\r\n"...)
}

// meansBody reports whether a request with that method says the length of its body even if it
// has none (RFC 9110, section 8.6).
func meansBody(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

// EditRequestTrailer removes the fields that may not pass in the trailer section of a request.
func (x *Exchange) EditRequestTrailer(h *header.Fields) {
	h.DelFunc(func(f *header.Field) bool { return !allowedInTrailer(f.Name, &x.ToBackend) })
}

// EditAnswer makes h, the fields of an answer over HTTP/1.Minor, those for the client, before
// the route edits them. Trailers are announced if there are any.
func (x *Exchange) EditAnswer(h *header.Fields, minor int) {
	var announced []string
	for name := range h.Elements(header.Trailer) {
		if allowedInTrailer(name, &x.ToClient) {
			announced = append(announced, name)
		}
	}
	hop.Strip(h)
	if x.Via {
		AddVia(h, 1, minor)
	}
	for _, name := range announced {
		h.Add(header.Trailer, name)
	}
}

// EditInformational makes h, the fields of an informational answer, those for the client.
func (x *Exchange) EditInformational(h *header.Fields) {
	hop.Strip(h)
	x.ToClient.Strip(h)
}

// EditTrailer removes the fields that may not pass in the trailer section of an answer.
func (x *Exchange) EditTrailer(h *header.Fields) {
	h.DelFunc(func(f *header.Field) bool { return !allowedInTrailer(f.Name, &x.ToClient) })
}

// SlowAnswer returns the error of an endpoint that has not begun its answer within d.
func SlowAnswer(d time.Duration) error { return errSlowAnswer(d) }

// Silent returns the error of an endpoint that was silent for d in the middle of its answer.
func Silent(d time.Duration) error { return errSilent(d) }

// answer copies the backend's answer to the client.
func (x *Exchange) answer(w http.ResponseWriter, res *http.Response) Result {
	fields := header.FromHTTP(res.Header)
	hop.Strip(&fields)
	if x.Via {
		AddVia(&fields, res.ProtoMajor, res.ProtoMinor)
	}
	h := w.Header()
	maps.Copy(h, fields.HTTP())
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // otherwise the server guesses one
	}
	trailer := announcedTrailer(res.Trailer, &x.ToClient)
	for name := range trailer {
		h.Add("Trailer", name)
	}
	w.WriteHeader(res.StatusCode)
	n, err := copyBody(w, res)
	if err != nil {
		return Result{Status: res.StatusCode, Out: n, Err: err}
	}
	if len(res.Trailer) > 0 {
		// Trailers need chunks: net/http must not give a short body a Content-Length.
		http.NewResponseController(w).Flush()
	}
	for name, values := range res.Trailer {
		if _, ok := trailer[name]; ok {
			h[name] = values
		} else if allowedInTrailer(name, &x.ToClient) {
			h[http.TrailerPrefix+name] = values
		}
	}
	return Result{Status: res.StatusCode, Out: n}
}
