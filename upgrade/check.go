// Package upgrade is the opening handshake of a WebSocket (RFC 6455, section 4)
// as a gateway holds it: it checks the client's request, offers the session to
// a backend with a key of its own, verifies the answer, and only then takes the
// client over. It knows neither routes nor limits, and not what the session
// does afterwards.
package upgrade

import (
	"encoding/base64"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"sluice/internal/fieldname"
	"sluice/internal/hop"
	"sluice/internal/httpsyntax"
)

// A Request is a client's valid handshake, without what belongs to its own
// connection: the key, the version and the hop-by-hop headers are gone from
// Header. What Offer sends is made from it.
type Request struct {
	Host       string      // for the backend's Host header
	Path       string      // request target: escaped path and query
	Origin     string      // as sent, "" when the client is not a browser
	Protocols  []string    // subprotocols in the client's order
	Extensions string      // the permessage-deflate offers; others are dropped
	Header     http.Header // the rest; owned by the Request

	key string
}

// A Refusal is why a handshake is not let through, as an HTTP status.
type Refusal struct {
	Status int
	Header http.Header // to send along; may be nil
	Reason string      // one sentence for the client, and for the log without a Detail
	Detail string      // for the log alone; may be empty
}

func (r *Refusal) Error() string { return r.Reason }

// Wanted reports whether r asks for a WebSocket at all. Any other protocol in
// Upgrade, and any Upgrade over HTTP/1.0 (RFC 9110, section 7.8) or without the
// connection option, is a plain request.
func Wanted(r *http.Request) bool {
	return r.ProtoMajor == 1 && r.ProtoMinor >= 1 &&
		httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade") &&
		httpguts.HeaderValuesContainsToken(r.Header["Upgrade"], "websocket")
}

// Check reads the handshake in r (RFC 6455, section 4.2.1), which is Wanted.
// The Request's path is the one of r; callers that rewrite it change it before
// the offer.
func Check(r *http.Request) (*Request, *Refusal) {
	key := r.Header.Get("Sec-Websocket-Key")
	switch {
	case r.Method != http.MethodGet:
		return nil, bad("A WebSocket handshake must be a GET request.")
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		return nil, bad("A WebSocket handshake must not have a body.")
	case len(r.Header["Sec-Websocket-Version"]) != 1 || r.Header.Get("Sec-Websocket-Version") != "13":
		return nil, UpgradeRequired("Only version 13 of the WebSocket protocol is spoken here (RFC 6455).")
	case len(r.Header["Sec-Websocket-Key"]) != 1 || !validKey(key):
		return nil, bad("The Sec-WebSocket-Key header must be there once, with 16 bytes in base64.")
	case len(r.Header["Origin"]) > 1:
		return nil, bad("The Origin header must be there at most once.")
	case !strings.HasPrefix(r.URL.RequestURI(), "/"):
		return nil, bad("The request target must be a path or a URL with a host.")
	}
	protocols, ok := tokens(r.Header["Sec-Websocket-Protocol"])
	if !ok {
		return nil, bad("The Sec-WebSocket-Protocol header must be a list of different tokens.")
	}
	offers, ok := deflateOffers(r.Header["Sec-Websocket-Extensions"])
	if !ok {
		return nil, bad("The Sec-WebSocket-Extensions header is malformed.")
	}
	q := &Request{
		Host:       r.Host,
		Path:       r.URL.RequestURI(),
		Origin:     r.Header.Get("Origin"),
		Protocols:  protocols,
		Extensions: offers,
		Header:     endToEnd(r.Header),
		key:        key,
	}
	return q, nil
}

// UpgradeRequired is the refusal of what is no WebSocket of version 13.
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

func bad(reason string) *Refusal {
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

// tokens reads a list of tokens, each at most once. Empty members do not count
// (RFC 9110, section 5.6.1.2).
func tokens(values []string) (list []string, ok bool) {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			t = textproto.TrimString(t)
			switch {
			case t == "":
			case !httpsyntax.IsToken(t) || slices.Contains(list, t):
				return nil, false
			default:
				list = append(list, t)
			}
		}
	}
	return list, true
}

// negotiation are the fields that this package writes itself.
var negotiation = fieldname.NewSet("Sec-WebSocket-*")

// endToEnd returns the headers that go on to the next hop, without those of
// the handshake itself.
func endToEnd(h http.Header) http.Header {
	out := h.Clone()
	hop.Strip(out)
	delete(out, "Content-Length")
	negotiation.Strip(out)
	return out
}
