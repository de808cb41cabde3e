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
	"strings"
	"time"

	"sluice/internal/header"
	"sluice/internal/httpsyntax"
)

const (
	maxHead          = 64 << 10 // bytes of a backend's answer before its body, informational answers included
	maxInformational = 8        // informational answers before the final one
)

// offerHTTP1 offers the handshake on the connection c, which stays the caller's.
// After an error, or when the body of a refusal is read, c cannot be used again.
func (q *Request) offerHTTP1(ctx context.Context, c net.Conn) (*Answer, error) {
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	a, err := q.exchange(c, NewKey())
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
		deadline = time.Now().Add(MaxRefusalTime)
	}
	return a, c.SetDeadline(deadline)
}

// exchange sends the handshake with key and reads the answer.
func (q *Request) exchange(c net.Conn, key string) (*Answer, error) {
	if _, err := c.Write(q.AppendOffer(nil, key)); err != nil {
		return nil, &Unanswered{fmt.Errorf("send the handshake: %w", err)}
	}
	opening := &httpsyntax.Opening{R: c}
	limit := &io.LimitedReader{R: opening, N: maxHead}
	br := bufio.NewReader(limit)
	for range maxInformational {
		resp, err := http.ReadResponse(br, &http.Request{Method: http.MethodGet})
		switch {
		case err != nil && opening.IsHTTP2():
			return nil, notHTTP1(httpsyntax.ErrHTTP2)
		case err != nil && limit.N <= 0:
			return nil, &backendError{fmt.Sprintf("the answer to the handshake has more than %d KiB of headers", maxHead>>10)}
		case limit.N == maxHead && isNet(err):
			return nil, &Unanswered{fmt.Errorf("read the answer to the handshake: %w", err)}
		case err != nil && limit.N == maxHead:
			return nil, &Unanswered{errors.New("the backend closed the connection without an answer to the handshake")}
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return nil, errors.New("the backend closed the connection without an answer to the handshake")
		case err != nil && isNet(err):
			return nil, fmt.Errorf("read the answer to the handshake: %w", err)
		case err != nil:
			return nil, notHTTP1(err)
		case resp.StatusCode < 100:
			return nil, &backendError{fmt.Sprintf("the answer to the handshake has the status %d", resp.StatusCode)}
		case resp.StatusCode == http.StatusSwitchingProtocols && resp.ProtoMajor != 1:
			return nil, &backendError{"the backend switches protocols over " + resp.Proto}
		case resp.StatusCode == http.StatusSwitchingProtocols:
			a, err := q.Verify(header.FromHTTP(resp.Header), resp.ProtoMinor, key)
			if n := br.Buffered(); err == nil && n > 0 {
				b, _ := br.Peek(n)
				a.Early = bytes.Clone(b) // otherwise an idle session would keep the whole buffer
			}
			return a, err
		case resp.StatusCode >= 200:
			limit.N = 1<<63 - 1
			return refused(c, resp), nil
		}
	}
	return nil, &backendError{"the backend sends one informational answer after the other"}
}

func notHTTP1(err error) error {
	return &backendError{"the answer to the handshake is not HTTP/1.1: " + err.Error()}
}

func isNet(err error) bool {
	var n net.Error
	return errors.As(err, &n)
}

// Verify checks the header section h of a 101 over HTTP/1.Minor to an offer with key. The
// header belongs to the answer from then on.
func (q *Request) Verify(h header.Fields, minor int, key string) (*Answer, error) {
	switch {
	case minor < 1:
		return nil, &backendError{fmt.Sprintf("the backend switches protocols over HTTP/1.%d", minor)}
	case !strings.EqualFold(h.Get(header.Upgrade), "websocket") || h.Count(header.Upgrade) != 1:
		return nil, &backendError{"the backend's 101 does not say Upgrade: websocket"}
	case !h.HasToken(header.Connection, "upgrade"):
		return nil, &backendError{"the backend's 101 does not say Connection: Upgrade"}
	case h.Count(header.SecWebSocketAccept) != 1 || h.Get(header.SecWebSocketAccept) != acceptKey(key):
		return nil, &backendError{"the backend's Sec-WebSocket-Accept is missing or does not fit the key"}
	}
	return q.accepted(h)
}

// AppendOffer appends the handshake for the backend, with key as its Sec-WebSocket-Key. The
// names are spelled as in the RFC: some backends accept only that.
func (q *Request) AppendOffer(b []byte, key string) []byte {
	b = append(append(b, "GET "...), q.Path...)
	b = append(append(b, " HTTP/1.1\r\nHost: "...), q.Host...)
	b = append(b, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "...)
	b = append(append(b, key...), "\r\nSec-WebSocket-Version: 13\r\n"...)
	b = appendHandshakeFields(b, strings.Join(q.Protocols, ", "), q.Extensions)
	return append(q.Header.Append(b), "\r\n"...)
}

func appendHandshakeFields(b []byte, protocol, extensions string) []byte {
	if protocol != "" {
		b = append(append(append(b, "Sec-WebSocket-Protocol: "...), protocol...), "\r\n"...)
	}
	if extensions != "" {
		b = append(append(append(b, "Sec-WebSocket-Extensions: "...), extensions...), "\r\n"...)
	}
	return b
}

// NewKey returns a random Sec-WebSocket-Key (RFC 6455, section 4.1).
func NewKey() string {
	var nonce [16]byte
	rand.Read(nonce[:])
	return base64.StdEncoding.EncodeToString(nonce[:])
}

// accept returns the Sec-WebSocket-Accept for key (RFC 6455, section 4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
