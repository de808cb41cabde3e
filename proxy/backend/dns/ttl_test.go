package dns

import (
	"maps"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// response returns a message with an answer for each TTL, in seconds.
func response(t testing.TB, ttls ...uint32) []byte {
	t.Helper()
	m := dnsmessage.Message{Header: dnsmessage.Header{Response: true}}
	for _, ttl := range ttls {
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("a.test."), Class: dnsmessage.ClassINET, TTL: ttl},
			Body:   &dnsmessage.AResource{},
		})
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMessageTTL(t *testing.T) {
	whole := response(t, 30, 10, 20)
	tests := map[string]struct {
		in   []byte
		want time.Duration
		ok   bool
	}{
		"the least of three":  {whole, 10 * time.Second, true},
		"no answers":          {response(t), 0, false},
		"a TTL of zero":       {response(t, 5, 0), 0, true},
		"cut short":           {whole[:len(whole)-1], 0, false},
		"no message":          {nil, 0, false},
		"a question":          {append([]byte{0, 1, 0}, whole[3:]...), 0, false},
		"negative (RFC 2181)": {response(t, 1<<31|5), 5 * time.Second, true},
	}
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		tt := tests[name]
		if got, ok := messageTTL(tt.in); got != tt.want || ok != tt.ok {
			t.Errorf("%s: messageTTL = %v, %v; want %v, %v", name, got, ok, tt.want, tt.ok)
		}
	}
}

// The TTL is that of one of the answers in the message.
func FuzzMessageTTL(f *testing.F) {
	f.Add(response(f))
	f.Add(response(f, 1, 2, 3))
	f.Add(response(f, 1<<31))
	f.Fuzz(func(t *testing.T, b []byte) {
		ttl, ok := messageTTL(b)
		var m dnsmessage.Message
		if !ok || m.Unpack(b) != nil {
			return
		}
		if !slices.ContainsFunc(m.Answers, func(r dnsmessage.Resource) bool {
			return time.Duration(r.Header.TTL&^(1<<31))*time.Second == ttl
		}) {
			t.Fatalf("messageTTL(%q) = %v, which no answer has", b, ttl)
		}
	})
}
