package upgrade

import (
	"strconv"
	"strings"

	"github.com/gobwas/httphead"
)

const (
	deflate = "permessage-deflate" // RFC 7692

	serverNoTakeover = "server_no_context_takeover"
	clientNoTakeover = "client_no_context_takeover"
	serverBits       = "server_max_window_bits"
	clientBits       = "client_max_window_bits"
)

// options reads the values of Sec-WebSocket-Extensions (RFC 6455, section 9.1).
func options(values []string) (list []httphead.Option, ok bool) {
	for _, v := range values {
		if list, ok = httphead.ParseOptions([]byte(v), list); !ok {
			return nil, false
		}
	}
	return list, true
}

// deflateOffers returns the valid permessage-deflate offers of values as one
// header value. Other extensions are dropped: what their reserved bits mean is
// unknown, so no frame that uses them could be checked.
func deflateOffers(values []string) (offers string, ok bool) {
	list, ok := options(values)
	if !ok {
		return "", false
	}
	var b strings.Builder
	for _, o := range list {
		if string(o.Name) != deflate || !offerable(o) {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(deflate)
		o.Parameters.ForEach(func(k, v []byte) bool {
			b.WriteString("; ")
			b.Write(k)
			if len(v) > 0 {
				b.WriteByte('=')
				b.Write(v)
			}
			return true
		})
	}
	return b.String(), true
}

// offerable reports whether o holds what RFC 7692, section 7.1, defines; a
// server has to decline any other offer.
func offerable(o httphead.Option) bool {
	good := true
	o.Parameters.ForEach(func(k, v []byte) bool {
		switch string(k) {
		case serverNoTakeover, clientNoTakeover:
			good = len(v) == 0
		case serverBits:
			good = windowBits(v) != 0
		case clientBits:
			good = len(v) == 0 || windowBits(v) != 0
		default:
			good = false
		}
		return good
	})
	return good
}

// accepted reports whether answer is a response to offers that RFC 7692,
// section 7.1, allows.
func accepted(answer []string, offers string) bool {
	list, ok := options(answer)
	if !ok || len(list) != 1 || string(list[0].Name) != deflate || !offerable(list[0]) {
		return false
	}
	offered, _ := options([]string{offers})
	for _, o := range offered {
		if answers(list[0], o) {
			return true
		}
	}
	return false
}

// answers reports whether a, whose parameters could be offered too, may answer
// the offer o.
func answers(a, o httphead.Option) bool {
	if v, ok := a.Parameters.Get(clientBits); ok {
		if _, asked := o.Parameters.Get(clientBits); !asked || windowBits(v) == 0 {
			return false
		}
	}
	if _, ok := o.Parameters.Get(serverNoTakeover); ok {
		if _, ok := a.Parameters.Get(serverNoTakeover); !ok {
			return false
		}
	}
	if want, ok := o.Parameters.Get(serverBits); ok {
		have, ok := a.Parameters.Get(serverBits)
		return ok && windowBits(have) <= windowBits(want)
	}
	return true
}

// windowBits returns the value of a window parameter, 0 when it is not one.
func windowBits(v []byte) int {
	n, err := strconv.Atoi(string(v))
	if err != nil || n < 8 || n > 15 {
		return 0
	}
	return n
}
