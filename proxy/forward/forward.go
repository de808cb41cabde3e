// Package forward is one HTTP exchange: a client's request to a backend and the
// answer back, streamed both ways. It knows neither routes nor endpoints, and
// never tunnels.
package forward

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/url"

	"golang.org/x/net/http/httpguts"

	"sluice/internal/hop"
)

// An Exchange is how a request goes on.
type Exchange struct {
	Backend http.RoundTripper
	Path    string            // for the backend, escaped
	Edit    func(http.Header) // changes what the backend sees; a Host in it becomes the request's
}

// A Result is how an exchange ended.
type Result struct {
	Status  int   // sent to the client; 0 when nothing was, for the caller to answer
	In, Out int64 // bytes of the request's and of the answer's body that passed
	Err     error // an *Error, or nil
}

// An Error is what ended an exchange early.
type Error struct {
	Client bool   // it was on the client's side, else on the backend's
	Stage  string // what was going on
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

// Do sends r on and copies the answer to w. Where the Result has both a status
// and an error the answer was cut, and the client must not take it for whole:
// panic with [http.ErrAbortHandler].
func (x *Exchange) Do(w http.ResponseWriter, r *http.Request) (result Result) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	body := &requestBody{body: r.Body}
	defer func() { result.In = body.end() }()
	early := &informer{w: w, expects: httpguts.HeaderValuesContainsToken(r.Header["Expect"], "100-continue")}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: early.pass})

	res, err := x.Backend.RoundTrip(x.outgoing(ctx, r, body))
	early.end()
	switch {
	case err == nil:
	case r.Context().Err() != nil:
		return Result{Err: &Error{Client: true, Stage: "waiting for the answer", Err: errors.New("the client went away")}}
	case body.failed() != nil:
		return Result{Err: &Error{Client: true, Stage: "reading the request's body", Err: body.failed()}}
	default:
		return Result{Err: &Error{Stage: "sending the request", Err: err}}
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusSwitchingProtocols {
		return Result{Err: &Error{Stage: "reading the answer", Err: errors.New("101 to a request that asked for no upgrade")}}
	}
	return answer(w, res)
}

// outgoing returns the request for the backend.
func (x *Exchange) outgoing(ctx context.Context, r *http.Request, body *requestBody) *http.Request {
	path, err := url.PathUnescape(x.Path)
	if err != nil {
		path = x.Path
	}
	out := &http.Request{
		Method:        r.Method,
		URL:           &url.URL{Path: path, RawPath: x.Path, RawQuery: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery},
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        r.Header.Clone(),
		Host:          r.Host,
		ContentLength: r.ContentLength,
		Trailer:       r.Trailer, // filled in while the body is read
	}
	if r.ContentLength != 0 {
		out.Body = body
	}
	hop.Strip(out.Header)
	if httpguts.HeaderValuesContainsToken(r.Header["Te"], "trailers") {
		out.Header["Te"] = []string{"trailers"}
	}
	SetForwarded(out.Header, r)
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = nil // or the transport puts in its own
	}
	x.Edit(out.Header)
	if host := out.Header.Get("Host"); host != "" {
		out.Host = host
		out.Header.Del("Host")
	}
	return out.WithContext(ctx)
}

// answer copies the backend's answer to the client.
func answer(w http.ResponseWriter, res *http.Response) Result {
	hop.Strip(res.Header)
	h := w.Header()
	for name, values := range res.Header {
		h[name] = values
	}
	for name := range res.Trailer {
		h.Add("Trailer", name)
	}
	announced := len(res.Trailer)
	w.WriteHeader(res.StatusCode)
	n, err := stream(w, res)
	if err != nil {
		return Result{Status: res.StatusCode, Out: n, Err: err}
	}
	if len(res.Trailer) > 0 {
		// Trailers need chunks: net/http must not count a short body itself.
		http.NewResponseController(w).Flush()
	}
	prefix := ""
	if len(res.Trailer) != announced {
		prefix = http.TrailerPrefix
	}
	for name, values := range res.Trailer {
		h[prefix+name] = values
	}
	return Result{Status: res.StatusCode, Out: n}
}
