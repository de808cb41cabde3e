package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"sluice/internal/header"
)

// MaxRefusalTime is how long the body of a refusal may take, from the backend
// and to the client.
const MaxRefusalTime = 30 * time.Second

// An Answer is the answer of a backend to a handshake.
type Answer struct {
	Status     int           // 101, or that of a refusal
	Header     header.Fields // the end-to-end headers
	Protocol   string        // the subprotocol agreed on; "" for none
	Extensions string        // the extensions agreed on; "" for none
	Body       io.ReadCloser // of a refusal: reads from the backend; Close closes the connection
	Early      []byte        // bytes that came with the 101
}

// Deflate reports whether permessage-deflate was agreed on.
func (a *Answer) Deflate() bool { return a.Extensions != "" }

// NoTakeover reports whether the client, and whether the backend, compresses each message without what
// it knows of those before (RFC 7692, section 7.1.1).
func (a *Answer) NoTakeover() (client, backend bool) { // Extensions is as deflate.String writes it
	return strings.Contains(a.Extensions, clientNoTakeover), strings.Contains(a.Extensions, serverNoTakeover)
}

// backendError is an answer that must not reach the client, because it breaks
// the protocol or does not fit the offer.
type backendError struct{ Reason string }

func (e *backendError) Error() string { return e.Reason }

// ErrIgnored is an answer that the client's own offer allows, but not what the gateway has made of it. The
// backend is not to blame: the configuration asks for what it does not have.
var ErrIgnored = errors.New("the backend ignores " + serverNoTakeover + ", which 'tap.no_context_takeover' of the route asks for: remove the key")

// Unanswered says that the backend has not begun to answer an offer, so that the
// same offer can be made to another one.
type Unanswered struct{ Err error }

func (e *Unanswered) Error() string { return e.Err.Error() }
func (e *Unanswered) Unwrap() error { return e.Err }

// A Stream sends an extended CONNECT to the backend (RFC 8441, section 4). It
// returns the answer, and its stream as a connection whose bytes are the
// answer's body. The connection is the caller's. Its error matches
// [http.ErrNotSupported] if the backend takes WebSockets over HTTP/1.1 alone;
// then nothing was sent.
type Stream func(ctx context.Context, r *http.Request) (net.Conn, *http.Response, error)

// A Dial opens a connection to the backend for HTTP/1.1, which is the caller's.
type Dial func(ctx context.Context) (net.Conn, error)

// Offer offers the handshake q to a backend: over HTTP/2 if the backend takes
// it, else over HTTP/1.1 with a key of its own (RFC 6455, section 4.1). It
// verifies the answer and returns it with the connection, which is the caller's.
// Closing the body of a refusal closes the connection too. Offer ends early with
// ctx; the error is the cause of ctx then. An error of dial is returned as it is.
// An *[Unanswered] allows another try; after any other error the backend may have
// begun to answer.
func Offer(ctx context.Context, stream Stream, dial Dial, q *Request) (net.Conn, *Answer, error) {
	c, a, err := q.offerHTTP2(ctx, stream)
	if !errors.Is(err, http.ErrNotSupported) {
		return c, a, err
	}
	if c, err = dial(ctx); err != nil {
		return nil, nil, err
	}
	if a, err = q.offerHTTP1(ctx, c); err != nil {
		c.Close()
		return nil, nil, err
	}
	return c, a, nil
}

// accepted returns the answer of an acceptance with the headers h, which are its
// own from then on, after it has checked that h chooses only what q offers.
func (q *Request) accepted(h header.Fields) (*Answer, error) {
	protocol, extensions := h.Get(header.SecWebSocketProtocol), slices.Collect(h.Values(header.SecWebSocketExtensions))
	agreed, fits := deflateAnswer(extensions, q.Extensions, q.offers != "")
	switch {
	case h.Count(header.SecWebSocketProtocol) > 1 || protocol != "" && !slices.Contains(q.Protocols, protocol):
		return nil, &backendError{fmt.Sprintf("the backend chose the subprotocol %q, which was not offered", protocol)}
	case !fits && q.allows(extensions):
		return nil, ErrIgnored
	case !fits:
		return nil, &backendError{fmt.Sprintf("the backend chose the extensions %q, which were not offered", extensions)}
	}
	return &Answer{Status: http.StatusSwitchingProtocols, Header: endToEnd(h), Protocol: protocol, Extensions: agreed}, nil
}

// allows reports whether an answer with these extensions is one to the client's own offers, where the
// backend got others.
func (q *Request) allows(extensions []string) bool {
	if q.offers == "" {
		return false
	}
	_, fits := deflateAnswer(extensions, q.offers, false)
	return fits
}

// refused returns the answer of a refusal, whose body reads from c.
func refused(c net.Conn, resp *http.Response) *Answer {
	h := RefusalHeader(header.FromHTTP(resp.Header), resp.StatusCode)
	if resp.ContentLength >= 0 {
		h.Set(header.ContentLength, fmt.Sprint(resp.ContentLength))
	}
	return &Answer{Status: resp.StatusCode, Header: h, Body: &body{resp.Body, c}}
}

// RefusalHeader returns the header section of a refusal for the client: all is that of the
// backend's answer.
func RefusalHeader(all header.Fields, status int) header.Fields {
	h := endToEnd(all.Clone())
	for _, f := range all {
		if handshakeFields.Has(f.Name) && f.ID != header.SecWebSocketAccept {
			h = append(h, f) // in a 426: the versions that the backend speaks
		}
	}
	if status == http.StatusUpgradeRequired {
		h.Set(header.Upgrade, "websocket")
		h.Set(header.Connection, "Upgrade")
	}
	return h
}

// body is the body of a refusal, with the connection that it comes from.
type body struct {
	io.ReadCloser
	conn net.Conn
}

func (b *body) Close() error { return b.conn.Close() }
