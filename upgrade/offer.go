package upgrade

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

const (
	maxHead          = 64 << 10 // bytes of a backend's answer before its body, informational ones included
	maxInformational = 8
	maxRefusal       = 30 * time.Second // for the body of a refusal, on either side
)

// An Answer is what a backend said to an offer.
type Answer struct {
	Status     int           // 101, or that of a refusal
	Header     http.Header   // end-to-end headers
	Protocol   string        // the subprotocol agreed on
	Extensions string        // the extensions agreed on
	Body       io.ReadCloser // of a refusal: reads from the backend; closing it closes the connection
	Early      []byte        // bytes that came behind the 101
}

// Deflate reports whether permessage-deflate was agreed on.
func (a *Answer) Deflate() bool { return a.Extensions != "" }

// A BackendError is an answer that no client may see: it does not follow the
// protocol or does not fit the offer.
type BackendError struct{ Reason string }

func (e *BackendError) Error() string { return e.Reason }

// Unanswered is an offer that the backend has not begun to answer: it can be
// made to another one.
type Unanswered struct{ Err error }

func (e *Unanswered) Error() string { return e.Err.Error() }
func (e *Unanswered) Unwrap() error { return e.Err }

// Offer asks the backend at the other end of c for the session q, with a key
// of its own, and verifies the answer (RFC 6455, section 4.1). It ends early
// with ctx. On an error, and once a refusal's body is read, c is of no more
// use; closing it is the caller's, and closing the body does it too.
func Offer(ctx context.Context, c net.Conn, q *Request) (*Answer, error) {
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	a, err := q.offer(c, newKey())
	if !stop() {
		if none := new(Unanswered); errors.As(err, &none) {
			return nil, &Unanswered{context.Cause(ctx)}
		}
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	var deadline time.Time
	if a.Body != nil {
		deadline = time.Now().Add(maxRefusal)
	}
	return a, c.SetDeadline(deadline)
}

func (q *Request) offer(c net.Conn, key string) (*Answer, error) {
	if _, err := c.Write(q.encode(key)); err != nil {
		return nil, &Unanswered{fmt.Errorf("send the handshake: %w", err)}
	}
	limit := &io.LimitedReader{R: c, N: maxHead}
	br := bufio.NewReader(limit)
	for range maxInformational {
		resp, err := http.ReadResponse(br, &http.Request{Method: http.MethodGet})
		switch {
		case err != nil && limit.N <= 0:
			return nil, &BackendError{fmt.Sprintf("the answer to the handshake has more than %d KiB of headers", maxHead>>10)}
		case limit.N == maxHead && isNet(err):
			return nil, &Unanswered{fmt.Errorf("read the answer to the handshake: %w", err)}
		case err != nil && limit.N == maxHead:
			return nil, &Unanswered{errors.New("the backend closed the connection without an answer to the handshake")}
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return nil, errors.New("the backend closed the connection without an answer to the handshake")
		case err != nil && isNet(err):
			return nil, fmt.Errorf("read the answer to the handshake: %w", err)
		case err != nil:
			return nil, &BackendError{"the answer to the handshake is not HTTP: " + err.Error()}
		case resp.StatusCode < 100:
			return nil, &BackendError{fmt.Sprintf("the answer to the handshake has the status %d", resp.StatusCode)}
		case resp.StatusCode == http.StatusSwitchingProtocols:
			return q.verify(resp, br, accept(key))
		case resp.StatusCode >= 200:
			limit.N = 1<<63 - 1
			return refusal(c, resp), nil
		}
	}
	return nil, &BackendError{"the backend sends one informational answer after the other"}
}

func isNet(err error) bool {
	var n net.Error
	return errors.As(err, &n)
}

// verify checks a 101 against the offer.
func (q *Request) verify(resp *http.Response, br *bufio.Reader, accept string) (*Answer, error) {
	h := resp.Header
	switch {
	case resp.ProtoMajor != 1 || resp.ProtoMinor < 1:
		return nil, &BackendError{"the backend switches protocols over " + resp.Proto}
	case !strings.EqualFold(h.Get("Upgrade"), "websocket") || len(h["Upgrade"]) != 1:
		return nil, &BackendError{"the backend's 101 does not say Upgrade: websocket"}
	case !httpguts.HeaderValuesContainsToken(h["Connection"], "upgrade"):
		return nil, &BackendError{"the backend's 101 does not say Connection: Upgrade"}
	case len(h["Sec-Websocket-Accept"]) != 1 || h.Get("Sec-Websocket-Accept") != accept:
		return nil, &BackendError{"the backend's Sec-WebSocket-Accept is missing or does not fit the key"}
	}
	a, err := q.agree(h)
	if n := br.Buffered(); err == nil && n > 0 {
		b, _ := br.Peek(n)
		a.Early = bytes.Clone(b) // or an idle session would hold the whole buffer
	}
	return a, err
}

// agree reads what the headers h of an acceptance choose from the offer.
func (q *Request) agree(h http.Header) (*Answer, error) {
	protocol := h.Get("Sec-Websocket-Protocol")
	agreed, fits := deflateAnswer(h["Sec-Websocket-Extensions"], q.Extensions)
	switch {
	case len(h["Sec-Websocket-Protocol"]) > 1 || protocol != "" && !slices.Contains(q.Protocols, protocol):
		return nil, &BackendError{fmt.Sprintf("the backend chose the subprotocol %q, which was not offered", protocol)}
	case !fits:
		return nil, &BackendError{fmt.Sprintf("the backend chose the extensions %q, which were not offered", h["Sec-Websocket-Extensions"])}
	}
	return &Answer{Status: http.StatusSwitchingProtocols, Header: endToEnd(h), Protocol: protocol, Extensions: agreed}, nil
}

func refusal(c net.Conn, resp *http.Response) *Answer {
	h := endToEnd(resp.Header)
	for name, values := range resp.Header {
		if rest, ok := strings.CutPrefix(name, "Sec-Websocket-"); ok && rest != "Accept" {
			h["Sec-WebSocket-"+rest] = values // a 426 names its versions here
		}
	}
	if resp.StatusCode == http.StatusUpgradeRequired {
		h["Upgrade"], h["Connection"] = []string{"websocket"}, []string{"Upgrade"}
	}
	if resp.ContentLength >= 0 {
		h["Content-Length"] = []string{fmt.Sprint(resp.ContentLength)}
	}
	return &Answer{Status: resp.StatusCode, Header: h, Body: &body{resp.Body, c}}
}

// body closes the connection with the body it is read from.
type body struct {
	io.ReadCloser
	conn net.Conn
}

func (b *body) Close() error { return b.conn.Close() }

// encode writes the handshake with the header names as the RFC spells them:
// there are backends that look for just that spelling.
func (q *Request) encode(key string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", q.Path, q.Host)
	fmt.Fprintf(&b, "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n", key)
	writeNegotiation(&b, strings.Join(q.Protocols, ", "), q.Extensions)
	writeHeader(&b, q.Header)
	return b.Bytes()
}

func writeNegotiation(b *bytes.Buffer, protocol, extensions string) {
	if protocol != "" {
		fmt.Fprintf(b, "Sec-WebSocket-Protocol: %s\r\n", protocol)
	}
	if extensions != "" {
		fmt.Fprintf(b, "Sec-WebSocket-Extensions: %s\r\n", extensions)
	}
}

// writeHeader writes h, cleaned of what would break a line, and the empty line
// behind it.
func writeHeader(b *bytes.Buffer, h http.Header) {
	h.Write(b) // sorted; a bytes.Buffer does not fail
	b.WriteString("\r\n")
}

func newKey() string {
	var nonce [16]byte
	rand.Read(nonce[:])
	return base64.StdEncoding.EncodeToString(nonce[:])
}

// accept returns the Sec-WebSocket-Accept for key (RFC 6455, section 4.2.2).
func accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
