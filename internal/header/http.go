package header

import (
	"maps"
	"net/http"
	"slices"
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

// FromHTTP returns the fields of h, sorted by name.
func FromHTTP(h http.Header) Fields {
	fields := make(Fields, 0, len(h))
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, value := range h[name] {
			fields.AddName(name, value)
		}
	}
	return fields
}

// HTTP returns the fields as net/http has them, but for the spelling of Sec-WebSocket. The result belongs to the caller.
func (h Fields) HTTP() http.Header {
	m := make(http.Header, len(h))
	for i := range h {
		name := canonical[h[i].ID]
		if name == "" {
			name = http.CanonicalHeaderKey(h[i].Name)
		}
		m[name] = append(m[name], h[i].Value)
	}
	return m
}
