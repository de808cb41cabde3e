package http1

import (
	"bytes"
	"crypto/tls"
	"testing"

	"sluice/internal/codec"
)

// FuzzMoved reads connections from bytes. What can be read is written in the same way again.
func FuzzMoved(f *testing.F) {
	for _, m := range []*Moved{
		{},
		{requests: 3, since: 4711},
		{since: 1, begun: true, ahead: []byte("GET / HT")},
		{requests: 1, since: 1, About: &tls.ConnectionState{Version: tls.VersionTLS13, ServerName: "example.com"}},
	} {
		w := codec.Writer(make([]byte, 0, 1<<16))
		m.Carry(w)
		f.Add(bytes.Clone(w.Written()))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		m := new(Moved)
		r := codec.Reader(in)
		if m.Carry(r); r.End() != nil {
			return
		}
		w := codec.Writer(make([]byte, 0, len(in)))
		if m.Carry(w); w.End() != nil || !bytes.Equal(w.Written(), in) {
			t.Errorf("%x is written as %x, %v", in, w.Written(), w.End())
		}
	})
}
