package telemetry

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// typical returns a session like most.
func typical() Session {
	return Session{Exchange: &Exchange{
		ID: "00f1e2d3c4b5a697", Client: netip.MustParseAddr("192.0.2.7"),
		Method: "GET", Host: "chat.example.com", URI: "/ws/room?id=7", Proto: "HTTP/1.1",
	}}
}

func TestPackedKeepsTheSession(t *testing.T) {
	tests := []struct {
		name   string
		change func(s *Session)
	}{
		{"typical", func(*Session) {}},
		{"nothing", func(s *Session) { *s.Exchange = Exchange{} }},
		{"an ID from elsewhere", func(s *Session) { s.ID = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6" }},
		{"an ID in capitals", func(s *Session) { s.ID = "00F1E2D3C4B5A697" }},
		{"an ID of 16 that are no digits", func(s *Session) { s.ID = "00f1e2d3-4b5a697" }},
		{"an ID of 18 digits", func(s *Session) { s.ID += "00" }},
		{"IPv6", func(s *Session) { s.Client = netip.MustParseAddr("2001:db8::1") }},
		{"IPv4 in IPv6", func(s *Session) { s.Client = netip.MustParseAddr("::ffff:192.0.2.7") }},
		{"IPv6 with a zone", func(s *Session) { s.Client = netip.MustParseAddr("fe80::1%" + strings.Repeat("z", 200)) }},
		{"over HTTP/2", func(s *Session) { s.Method, s.Proto = "CONNECT", "HTTP/2.0" }},
		{"agreed on without takeover", func(s *Session) { s.Deflate, s.ClientNoTakeover, s.BackendNoTakeover = true, true, true }},
		{"agreed on without takeover by one side", func(s *Session) { s.Deflate, s.BackendNoTakeover = true, true }},
		{"in a trace", func(s *Session) { s.Trace = Trace{ID: [16]byte{1, 15: 2}, Span: [8]byte{3, 7: 4}} }},
		{"in a trace that is sampled", func(s *Session) { s.Trace = Trace{ID: [16]byte{1}, Span: [8]byte{3}, Sampled: true} }},
		{"agreed on", func(s *Session) { s.Subprotocol, s.Deflate = "chat.v2", true }},
		{"as long as records hold", func(s *Session) {
			s.Method, s.Host, s.URI, s.Subprotocol = strings.Repeat("M", 256), strings.Repeat("h", 256), "/"+strings.Repeat("u", 1023), strings.Repeat("p", 256)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := typical()
			tt.change(&s)
			if got := s.Pack().Session(); !reflect.DeepEqual(got, s) {
				t.Errorf("packed and unpacked:\n got %+v %+v\nwant %+v %+v", got, got.Exchange, s, s.Exchange)
			}
		})
	}
}

func TestPackedLeavesOutWhatSessionsShare(t *testing.T) {
	s, want := typical(), typical()
	s.Route, s.Backend, s.Endpoint = "chat", "b", "a:1"
	if got := s.Pack().Session(); !reflect.DeepEqual(got, want) {
		t.Errorf("packed and unpacked: %+v; want %+v", got.Exchange, want.Exchange)
	}
}

func TestPackedLeavesOutThatNoTraceIsSampled(t *testing.T) {
	s, want := typical(), typical()
	s.Trace.Sampled = true
	if got := s.Pack().Session(); !reflect.DeepEqual(got, want) {
		t.Errorf("packed and unpacked: %+v; want %+v", got.Exchange, want.Exchange)
	}
}

// What is kept of a request while its session lives has a limit, however long the
// request was.
func TestPackedHasALimit(t *testing.T) {
	s := typical()
	long := strings.Repeat("/a long one", 3000)
	s.Method, s.Host, s.URI, s.Subprotocol = long, long, long, long
	if n := len(s.Pack()); n > 2<<10 {
		t.Errorf("a session with %d bytes in each field is packed into %d; want at most 2 KiB", len(long), n)
	}
	got := s.Pack().Session()
	for _, f := range []struct {
		name, value string
		length      int
	}{{"method", got.Method, 256}, {"host", got.Host, 256}, {"URI", got.URI, 1024}, {"subprotocol", got.Subprotocol, 256}} {
		if begins, cut := strings.CutSuffix(f.value, "..."); !cut || len(f.value) != f.length || !strings.HasPrefix(long, begins) {
			t.Errorf("the %s has %d bytes, %q; want %d that end with dots", f.name, len(f.value), f.value, f.length)
		}
	}
}

func TestPackedIsSmall(t *testing.T) {
	s := typical()
	if n := len(s.Pack()); n > 48 {
		t.Errorf("a typical session is packed into %d bytes; want at most 48", n)
	}
	if n := testing.AllocsPerRun(100, func() { s.Pack() }); n != 1 {
		t.Errorf("Pack allocates %v times; want 1", n)
	}
}

func TestWhatIsNotPackedIsAnEmptySession(t *testing.T) {
	s := typical()
	whole := s.Pack()
	tests := []struct {
		name string
		p    Packed
	}{
		{"nothing", ""},
		{"sampled without a trace", "\x87" + whole[1:]},
		{"no takeover without compression", "\x17" + whole[1:]},
		{"cut in the trace", "\x47" + whole[1:6]},
		{"a trace of zeros", "\x47" + Packed(strings.Repeat("\x00", 16)+"\x01"+strings.Repeat("\x00", 7)) + whole[1:]},
		{"a trace and a span of zeros", "\xc7" + Packed(strings.Repeat("\x00", 24)) + whole[1:]},
		{"cut in the number", whole[:5]},
		{"cut in front of a length", whole[:9]},
		{"cut in the address", whole[:12]},
		{"cut in the host", whole[:20]},
		{"an address of 5 bytes", whole[:9] + "\x05aaaaa" + whole[14:]},
		{"a length beyond all", whole[:14] + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"},
		{"a length without an end", whole[:14] + Packed(strings.Repeat("\xff", 20))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, want := tt.p.Session(), (Session{Exchange: &Exchange{}}); !reflect.DeepEqual(got, want) {
				t.Errorf("Packed(%q).Session() = %+v %+v; want an empty one", tt.p, got, got.Exchange)
			}
		})
	}
}

// A session whose fields are not longer than in records is the same after packing
// and unpacking; a longer one is cut once. Any bytes unpack to a session.
func FuzzPacked(f *testing.F) {
	s := typical()
	zeros := strings.Repeat("\x00", 24)
	f.Add(string(s.Pack()), s.ID, "fe80::1%eth0", "HEAD", s.Host, s.URI, "HTTP/2.0", "chat.v2", "0123456789abcdef01234567", byte(0xff))
	f.Add("\x00", "", "", "", "", "", "", "", "", byte(0))
	f.Add("\x47"+zeros[:16]+"\x01"+zeros[:7]+"01234567\x00\x00\x00", "", "", "", "", "", "", "", zeros, byte(packedSampled))
	f.Add("\xc7"+zeros+"01234567\x00\x00\x00", "", "", "", "", "", "", "", zeros[:16]+"a", byte(packedBackendNoTakeover))
	f.Fuzz(func(t *testing.T, bytes, id, client, method, host, uri, proto, subprotocol, trace string, flags byte) {
		address, _ := netip.ParseAddr(client)
		made := Session{
			Exchange:    &Exchange{ID: id, Client: address, Method: method, Host: host, URI: uri, Proto: proto},
			Subprotocol: subprotocol, Deflate: flags&packedDeflate != 0,
		}
		if made.Deflate {
			made.ClientNoTakeover, made.BackendNoTakeover = flags&packedClientNoTakeover != 0, flags&packedBackendNoTakeover != 0
		}
		if copy(made.Trace.ID[:], trace); !made.Trace.IsZero() {
			copy(made.Trace.Span[:], trace[min(len(trace), len(made.Trace.ID)):])
			made.Trace.Sampled = flags&packedSampled != 0
		}
		for _, s := range []Session{Packed(bytes).Session(), made} {
			if len(s.URI) > maxURI || max(len(s.Method), len(s.Host), len(s.Subprotocol)) > maxWord {
				s = s.Pack().Session()
			}
			if got := s.Pack().Session(); !reflect.DeepEqual(got, s) {
				t.Fatalf("%+v %+v became %+v %+v", s, s.Exchange, got, got.Exchange)
			}
		}
	})
}

func BenchmarkPack(b *testing.B) {
	s := typical()
	b.ReportAllocs()
	for b.Loop() {
		s.Pack()
	}
}

func BenchmarkUnpack(b *testing.B) {
	s := typical()
	p := s.Pack()
	b.ReportAllocs()
	for b.Loop() {
		p.Session()
	}
}
