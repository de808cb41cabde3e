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

	anyBits = -1 // client_max_window_bits without a value
)

// deflate is an offer of permessage-deflate, or the answer to one.
type deflate struct {
	serverNoTakeover, clientNoTakeover bool
	serverBits, clientBits             int // 0: absent
}

// deflateOffers returns the valid permessage-deflate offers of values as one
// header value. Other extensions are dropped: what their reserved bits mean is
// unknown, so no frame that uses them could be checked.
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

// deflateAnswer reads the response to offers that RFC 7692, section 7.1,
// allows, and returns it as one header value: "" where it names no extension.
func deflateAnswer(values []string, offers string) (answer string, ok bool) {
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
			return a.String(), true
		}
	}
	return "", false
}

// answers reports whether a may answer the offer o.
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
	params [][2]string // name and value, "" without one
}

// extensions reads the values of Sec-WebSocket-Extensions (RFC 6455, section
// 9.1). A quoted value has to be a token too, so quotes hide no separator.
func extensions(values []string) (list []extension, ok bool) {
	for _, v := range values {
		for member := range strings.SplitSeq(v, ",") {
			if textproto.TrimString(member) == "" {
				continue // does not count (RFC 9110, section 5.6.1.2)
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

// deflate returns what e says of permessage-deflate. It is not ok where e is
// another extension, or one that RFC 7692, section 7.1, has a server decline.
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
		default: // unknown, twice, or with a wrong value
			return d, false
		}
	}
	return d, true
}

// windowBits returns the value of a window parameter, 0 when it is not one.
func windowBits(v string) int {
	n, err := strconv.Atoi(v)
	if err != nil || n < 8 || n > 15 || strconv.Itoa(n) != v { // no sign, no leading zero
		return 0
	}
	return n
}

// unquote returns what the quoted-string v stands for. What is none comes back
// as it is, and so does one that is broken: it is no token.
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
