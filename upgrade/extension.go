package upgrade

import (
	"net/textproto"
	"strconv"
	"strings"

	"sluice/internal/httpsyntax"
)

const (
	deflateName = "permessage-deflate" // RFC 7692

	serverNoTakeover = "server_no_context_takeover"
	clientNoTakeover = "client_no_context_takeover"
	serverBits       = "server_max_window_bits"
	clientBits       = "client_max_window_bits"

	anyBits = -1 // stands for client_max_window_bits without a value
)

// deflate is an offer of permessage-deflate, or the answer to one.
type deflate struct {
	serverNoTakeover, clientNoTakeover bool
	serverBits, clientBits             int // 0 when absent; clientBits may be anyBits
}

// deflateOffers returns the valid offers of permessage-deflate in values, as one
// header value. It drops other extensions: the meaning of their reserved bits is
// unknown, so frames that use them could not be checked. Ok is false when values
// are malformed.
func deflateOffers(values []string) (offers string, ok bool) {
	list, ok := extensions(values)
	if !ok {
		return "", false
	}
	var kept []string
	for _, e := range list {
		if d, ok := e.deflate(); ok {
			kept = append(kept, d.String())
		}
	}
	return strings.Join(kept, ", "), true
}

// deflateAnswer returns a backend's answer to offers as one header value, "" when
// it names no extension. Ok is false when the answer is malformed, or is one that
// RFC 7692, section 7.1, does not allow. With noTakeover the offers are those of
// [withoutTakeover], and the answer keeps what they promise.
func deflateAnswer(values []string, offers string, noTakeover bool) (answer string, ok bool) {
	list, ok := extensions(values)
	if !ok || len(list) == 0 {
		return "", ok
	}
	if len(list) > 1 {
		return "", false
	}
	a, ok := list[0].deflate()
	if !ok {
		return "", false
	}
	offered, _ := extensions([]string{offers})
	for _, e := range offered {
		if o, ok := e.deflate(); ok && a.answers(o) {
			a.clientNoTakeover = a.clientNoTakeover || noTakeover
			return a.String(), true
		}
	}
	return "", false
}

// withoutTakeover returns offers with both parameters about context takeover in each. What the
// gateway says to a side then holds for the other one too (RFC 7692):
//
//   - server_no_context_takeover in an offer obliges the backend to take no context over, or to decline
//     the offer (section 7.1.1.1). There are some that answer as if it were not there: that is [ErrIgnored].
//     It may be in the answer to a client that did not offer it.
//   - client_no_context_takeover in an offer is a hint that the client will take none over even if the
//     answer does not say so (section 7.1.1.2). The gateway gives it for a client that it binds: it adds
//     the parameter to the answer, which a server may whether or not the client offered it, and which
//     the client has to follow. So a backend that leaves the hint out of its answer, as it may, sees
//     what it was promised; one that still expects a context reads such messages all the same.
func withoutTakeover(offers string) string {
	list, _ := extensions([]string{offers})
	var asked []string
	for _, e := range list {
		if d, ok := e.deflate(); ok {
			d.serverNoTakeover, d.clientNoTakeover = true, true
			asked = append(asked, d.String())
		}
	}
	return strings.Join(asked, ", ")
}

// answers reports whether a is an answer that the offer o allows (RFC 7692,
// section 7.1).
func (a deflate) answers(o deflate) bool {
	switch {
	case o.serverNoTakeover && !a.serverNoTakeover:
		return false
	case o.serverBits != 0 && (a.serverBits == 0 || a.serverBits > o.serverBits):
		return false
	case a.clientBits == 0:
		return true
	}
	return a.clientBits != anyBits && (o.clientBits == anyBits || a.clientBits <= o.clientBits)
}

// String returns d as a member of Sec-WebSocket-Extensions.
func (d deflate) String() string {
	var b strings.Builder
	b.WriteString(deflateName)
	if d.serverNoTakeover {
		b.WriteString("; " + serverNoTakeover)
	}
	if d.clientNoTakeover {
		b.WriteString("; " + clientNoTakeover)
	}
	if d.serverBits != 0 {
		b.WriteString("; " + serverBits + "=" + strconv.Itoa(d.serverBits))
	}
	switch {
	case d.clientBits == anyBits:
		b.WriteString("; " + clientBits)
	case d.clientBits != 0:
		b.WriteString("; " + clientBits + "=" + strconv.Itoa(d.clientBits))
	}
	return b.String()
}

// extension is one member of Sec-WebSocket-Extensions.
type extension struct {
	name   string
	params [][2]string // name and value; the value is "" when there is none
}

// extensions parses the values of Sec-WebSocket-Extensions (RFC 6455, section
// 9.1). Ok is false when they are malformed. A quoted value must be a token too,
// so no separator can be inside quotes.
func extensions(values []string) (list []extension, ok bool) {
	for _, v := range values {
		for member := range strings.SplitSeq(v, ",") {
			if textproto.TrimString(member) == "" {
				continue // empty members do not count (RFC 9110, section 5.6.1.2)
			}
			name, params, more := strings.Cut(member, ";")
			e := extension{name: textproto.TrimString(name)}
			if !httpsyntax.IsToken(e.name) {
				return nil, false
			}
			for more {
				var param string
				param, params, more = strings.Cut(params, ";")
				key, value, valued := strings.Cut(param, "=")
				key, value = textproto.TrimString(key), unquote(textproto.TrimString(value))
				if !httpsyntax.IsToken(key) || valued && !httpsyntax.IsToken(value) {
					return nil, false
				}
				e.params = append(e.params, [2]string{key, value})
			}
			list = append(list, e)
		}
	}
	return list, true
}

// deflate returns the parameters of e. Ok is false when e is not
// permessage-deflate, or has parameters that RFC 7692, section 7.1, makes a server
// decline.
func (e *extension) deflate() (d deflate, ok bool) {
	if e.name != deflateName {
		return d, false
	}
	for _, p := range e.params {
		name, value := p[0], p[1]
		bits := windowBits(value)
		switch {
		case name == serverNoTakeover && value == "" && !d.serverNoTakeover:
			d.serverNoTakeover = true
		case name == clientNoTakeover && value == "" && !d.clientNoTakeover:
			d.clientNoTakeover = true
		case name == serverBits && bits != 0 && d.serverBits == 0:
			d.serverBits = bits
		case name == clientBits && bits != 0 && d.clientBits == 0:
			d.clientBits = bits
		case name == clientBits && value == "" && d.clientBits == 0:
			d.clientBits = anyBits
		default: // a parameter that is unknown, comes twice, or has a wrong value
			return d, false
		}
	}
	return d, true
}

// windowBits returns the value of a window parameter, or 0 when v is not one.
func windowBits(v string) int {
	n, err := strconv.Atoi(v)
	if err != nil || n < 8 || n > 15 || strconv.Itoa(n) != v { // no sign, no leading zero
		return 0
	}
	return n
}

// unquote returns the text of the quoted-string v. It returns v unchanged when v
// is not a quoted-string or is broken; a broken one is then not a token.
func unquote(v string) string {
	if len(v) < 2 || v[0] != '"' || v[len(v)-1] != '"' {
		return v
	}
	var b strings.Builder
	for i := 1; i < len(v)-1; i++ {
		if v[i] == '\\' {
			if i++; i == len(v)-1 {
				return v
			}
		}
		b.WriteByte(v[i])
	}
	return b.String()
}
