// Package upgrade is the opening handshake of a WebSocket (RFC 6455, section 4),
// both sides of it: it checks the client's request, offers it to a backend,
// verifies the answer, and only then accepts or refuses the client. It knows
// neither routes nor limits, and not what the session does afterwards.
package upgrade

import (
	"encoding/base64"
	"iter"
	"net/http"
	"slices"
	"strings"

	"sluice/internal/fieldname"
	"sluice/internal/header"
	"sluice/internal/hop"
	"sluice/internal/httpsyntax"
	"sluice/internal/message"
)

// A Request is a valid handshake of a client, for a backend. Header is without
// what belongs to the client's own connection: the key, the version and the
// hop-by-hop headers.
type Request struct {
	Host       string        // for the backend's Host header
	Path       string        // request target: escaped path and query
	Origin     string        // as sent; "" if there is none, as from clients that are no browsers
	Protocols  []string      // subprotocols in the client's order
	Extensions string        // the offers of permessage-deflate; other extensions are dropped
	Header     header.Fields // the other headers; owned by the Request

	key    string // of the client
	offers string // the client's own, where Extensions are those of [withoutTakeover]; else ""
}

// A Refusal is the answer to a handshake that does not reach a backend, and the
// reason for it.
type Refusal struct {
	Status int
	Header http.Header // of the answer; may be nil
	Reason string      // one sentence for the client, and for the log if there is no Detail
	Detail string      // only for the log; may be empty
}

func (r *Refusal) Error() string { return r.Reason }

// Wanted reports whether r asks for a WebSocket. An Upgrade to another protocol,
// over HTTP/1.0 (RFC 9110, section 7.8) or without the connection option counts
// as a plain request.
func Wanted(r *message.Request) bool {
	return r.ProtoMajor == 1 && r.ProtoMinor >= 1 &&
		r.Header.HasToken(header.Connection, "upgrade") && r.Header.HasToken(header.Upgrade, "websocket")
}

// Check reads and checks the handshake r (RFC 6455, section 4.2.1), which must be
// [Wanted]. The Request's path is that of r; a caller that rewrites paths changes
// it before the offer.
func Check(r *message.Request) (*Request, *Refusal) {
	key := r.Header.Get(header.SecWebSocketKey)
	switch {
	case r.Method != http.MethodGet:
		return nil, badRequest("A WebSocket handshake must be a GET request.")
	case r.ContentLength != 0 || r.Chunked:
		return nil, badRequest("A WebSocket handshake must not have a body.")
	case r.Header.Count(header.SecWebSocketVersion) != 1 || r.Header.Get(header.SecWebSocketVersion) != "13":
		return nil, UpgradeRequired("Only version 13 of the WebSocket protocol is spoken here (RFC 6455).")
	case r.Header.Count(header.SecWebSocketKey) != 1 || !validKey(key):
		return nil, badRequest("The Sec-WebSocket-Key header must be there once, with 16 bytes in base64.")
	case r.Header.Count(header.Origin) > 1:
		return nil, badRequest("The Origin header must be there at most once.")
	case !strings.HasPrefix(r.Path, "/"):
		return nil, badRequest("The request target must be a path or a URL with a host.")
	}
	protocols, ok := tokens(r.Header.Elements(header.SecWebSocketProtocol))
	if !ok {
		return nil, badRequest("The Sec-WebSocket-Protocol header must be a list of different tokens.")
	}
	offers, ok := deflateOffers(slices.Collect(r.Header.Values(header.SecWebSocketExtensions)))
	if !ok {
		return nil, badRequest("The Sec-WebSocket-Extensions header is malformed.")
	}
	q := &Request{
		Host:       r.Host,
		Path:       r.WithQuery(r.Path),
		Origin:     r.Header.Get(header.Origin),
		Protocols:  protocols,
		Extensions: offers,
		Header:     endToEnd(r.Header.Clone()),
		key:        key,
	}
	return q, nil
}

// UpgradeRequired returns a refusal with the status 426, which asks for a
// WebSocket of version 13.
func UpgradeRequired(reason string) *Refusal {
	return &Refusal{
		Status: http.StatusUpgradeRequired,
		Header: http.Header{
			"Sec-WebSocket-Version": {"13"},
			"Upgrade":               {"websocket"},
			"Connection":            {"Upgrade"},
		},
		Reason: reason,
	}
}

func badRequest(reason string) *Refusal {
	return &Refusal{Status: http.StatusBadRequest, Reason: reason}
}

func validKey(key string) bool {
	var nonce [18]byte
	if len(key) != 24 {
		return false
	}
	n, err := base64.StdEncoding.Decode(nonce[:], []byte(key))
	return err == nil && n == 16
}

// tokens returns the elements of a list that has to have different tokens.
func tokens(elements iter.Seq[string]) (list []string, ok bool) {
	for t := range elements {
		if !httpsyntax.IsToken(t) || slices.Contains(list, t) {
			return nil, false
		}
		list = append(list, t)
	}
	return list, true
}

// handshakeFields is the fields of the handshake, which this package writes itself.
var handshakeFields = fieldname.NewSet("Sec-WebSocket-*")

// endToEnd removes the hop-by-hop headers and the fields of the handshake from h,
// and returns it.
func endToEnd(h header.Fields) header.Fields {
	hop.Strip(&h)
	h.Del(header.ContentLength)
	handshakeFields.Strip(&h)
	return h
}
