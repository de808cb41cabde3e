package message

import "net/http"

// A Header is the fields of a request. Their names, and those that its methods take, are in
// canonical form ([http.CanonicalHeaderKey]). The zero value has no fields and takes none.
type Header struct{ fields http.Header }

// HeaderOf returns h, whose fields it shares.
func HeaderOf(h http.Header) Header { return Header{h} }

// Get returns the first value of a field, or "" if there is none.
func (h Header) Get(name string) string {
	if values := h.fields[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// Values returns the values of a field, one for each line of it. They belong to h.
func (h Header) Values(name string) []string { return h.fields[name] }

// Set makes value the only value of a field.
func (h Header) Set(name, value string) { h.fields[name] = []string{value} }

// Del removes a field.
func (h Header) Del(name string) { delete(h.fields, name) }

// DelFunc removes the fields for whose names remove returns true.
func (h Header) DelFunc(remove func(name string) bool) {
	for name := range h.fields {
		if remove(name) {
			delete(h.fields, name)
		}
	}
}

// Clone returns a copy of the fields for a request to a backend. It belongs to the caller.
func (h Header) Clone() http.Header { return h.fields.Clone() }

// size returns how many bytes HTTP/1.1 needs for the fields.
func (h Header) size() int64 {
	n := 0
	for name, values := range h.fields {
		for _, v := range values {
			n += len(name) + len(": ") + len(v) + len("\r\n")
		}
	}
	return int64(n)
}
