package header

import (
	"net/http"
	"strings"
)

// canonical has each known name as net/http spells it, except for the fields of the WebSocket
// handshake: net/http writes names as they are, and some peers want the spelling of RFC 6455.
var canonical = func() (table [known]string) {
	for id := range known {
		if table[id] = names[id]; !strings.HasPrefix(names[id], "Sec-WebSocket-") {
			table[id] = http.CanonicalHeaderKey(names[id])
		}
	}
	return table
}()

// FromHTTP returns the fields of h. Those of one name are in their order; the order of names
// is none.
func FromHTTP(h http.Header) Fields {
	fields := make(Fields, 0, len(h)+spare)
	for name, values := range h {
		for _, value := range values {
			fields.AddName(name, value)
		}
	}
	return fields
}

// HTTP returns the fields as net/http has them, but for the spelling of Sec-WebSocket. The result belongs to the caller.
func (h Fields) HTTP() http.Header {
	m, values := make(http.Header, len(h)), make([]string, len(h)) // most names have one value
	for i := range h {
		name := canonical[h[i].ID]
		if name == "" {
			name = http.CanonicalHeaderKey(h[i].Name)
		}
		if before := m[name]; before != nil {
			m[name] = append(before, h[i].Value)
			continue
		}
		values[i] = h[i].Value
		m[name] = values[i : i+1 : i+1]
	}
	return m
}
