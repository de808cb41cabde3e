package wire

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
)

// script is a connection whose Reads return one step each. A step that does not fit is
// returned in parts. After the last step Reads return io.EOF.
type script struct {
	net.Conn
	steps []any // []byte or error
	reads int
}

func (s *script) Read(p []byte) (int, error) {
	s.reads++
	if len(s.steps) == 0 {
		return 0, io.EOF
	}
	if err, ok := s.steps[0].(error); ok {
		s.steps = s.steps[1:]
		return 0, err
	}
	b := s.steps[0].([]byte)
	n := copy(p, b)
	if s.steps[0] = b[n:]; n == len(b) {
		s.steps = s.steps[1:]
	}
	return n, nil
}

// record returns a TLS record with n bytes of payload.
func record(n int) []byte {
	b := append([]byte{23, 3, 3, byte(n >> 8), byte(n)}, make([]byte, n)...)
	for i := range b[recordHeader:] {
		b[recordHeader+i] = byte(i*7 + n)
	}
	return b
}

// cut returns b as steps of n bytes.
func cut(b []byte, n int) (steps []any) {
	for piece := range slices.Chunk(b, n) {
		steps = append(steps, piece)
	}
	return steps
}

// readAll reads c to its end with a buffer of size bytes. It calls each after every Read,
// with the number of all bytes read, and goes on after a timeout.
func readAll(t *testing.T, c *Conn, size int, each func(total int)) ([]byte, error) {
	t.Helper()
	var got []byte
	for p := make([]byte, size); ; {
		n, err := c.Read(p)
		got = append(got, p[:n]...)
		each(len(got))
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return got, err
		}
		if n == 0 && err == nil {
			t.Fatalf("Read(%d bytes) = 0, nil", size)
		}
	}
}

// law is what NewTLS promises: a Read ends inside a record only if the rest can be read
// without the socket.
type law struct {
	stream []byte
	c      *Conn
	from   *script
}

// check is called after a Read, when Reads have returned total bytes.
func (l law) check(t *testing.T, total int) {
	t.Helper()
	whole, ok := wholeRecords(l.stream[:total])
	if !ok || whole == total || len(l.from.steps) == 0 {
		return // not TLS, between records, or the stream has ended there
	}
	if l.c.whole == 0 {
		t.Fatalf("a Read ended at byte %d, inside the record at %d, and the rest is still in the socket", total, whole)
	}
}

func TestWholeRecords(t *testing.T) {
	tests := []struct {
		name, in string
		whole    int
		ok       bool
	}{
		{"no bytes", "", 0, true},
		{"the lowest type", "\x14\x03\x03\x00\x01x", 6, true},
		{"the highest type", "\x18\x03\x03\x00\x01x", 6, true},
		{"a type below", "\x13\x03\x03\x00\x01x", 0, false},
		{"a type above", "\x19\x03\x03\x00\x01x", 0, false},
		{"any minor version", "\x16\x03\xff\x00\x00", 5, true},
		{"another major version", "\x16\x02", 0, false},
		{"a part of a header", "\x17\x03\x03\x00\x00\x17\x03", 5, true},
		{"a part of a payload", "\x17\x03\x03\x00\x02x", 0, true},
		{"another protocol after a record", "\x17\x03\x03\x00\x00GET", 5, false},
		{"a head of the longest record", "\x17\x03\x03\x48\x00", 0, true},
		{"a head of a longer record", "\x17\x03\x03\x48\x01", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if whole, ok := wholeRecords([]byte(tt.in)); whole != tt.whole || ok != tt.ok {
				t.Errorf("wholeRecords(%q) = %d, %v; want %d, %v", tt.in, whole, ok, tt.whole, tt.ok)
			}
		})
	}
}

// After bytes that are not TLS, those that look like the start of a record are returned at
// once.
func TestOtherProtocolsAreNotHeldBack(t *testing.T) {
	c := NewTLS(&script{steps: []any{[]byte("GET"), []byte{22}, []byte("x")}})
	p := make([]byte, 100)
	for _, want := range []string{"GET", "\x16", "x"} {
		if n, err := c.Read(p); string(p[:n]) != want || err != nil {
			t.Errorf("Read = %q, %v; want %q", p[:n], err, want)
		}
	}
}

func TestRecordsPassUnchangedHoweverTheyAreCut(t *testing.T) {
	long := record(maxRecord - recordHeader)
	tests := []struct {
		name   string
		stream []byte
	}{
		{"no bytes", nil},
		{"one record", record(100)},
		{"an empty record", record(0)},
		{"several records in a row", slices.Concat(record(1), record(0), record(300), record(2), record(7))},
		{"the longest record, and another", slices.Concat(long, record(3))},
		{"a record above the limit", slices.Concat(record(4), record(maxRecord-recordHeader+1), record(4))},
		{"the longest length there is", slices.Concat([]byte{23, 3, 3, 0xff, 0xff}, make([]byte, 4000))},
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")},
		{"an SSLv2 hello", []byte("\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10")},
		{"another protocol after records", slices.Concat(record(9), []byte("plain"), record(9))},
		{"a record type below those of TLS", slices.Concat(record(1), []byte{19}, record(1))},
		{"a record type above those of TLS", slices.Concat(record(1), []byte{25}, record(1))},
		{"another major version", []byte{22, 4, 0, 0, 1, 0}},
		{"an end inside a header", slices.Concat(record(5), []byte{23, 3, 3})},
		{"an end after a header", slices.Concat(record(5), []byte{23, 3, 3, 0, 9})},
		{"an end inside a payload", slices.Concat(record(5), record(50)[:30])},
		{"one byte", []byte{22}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, piece := range []int{1, 4, 5, 6, 511, 16389, 1 << 20} {
				for _, size := range []int{1, 5, 512, 17000, 40000} {
					from := &script{steps: cut(tt.stream, piece)}
					c := NewTLS(from)
					l := law{tt.stream, c, from}
					got, err := readAll(t, c, size, func(total int) { l.check(t, total) })
					if !bytes.Equal(got, tt.stream) || err != io.EOF {
						t.Fatalf("pieces of %d, Reads of %d: %d bytes, %v; want the %d sent, EOF", piece, size, len(got), err, len(tt.stream))
					}
					if c.ahead != nil {
						t.Fatalf("pieces of %d, Reads of %d: a buffer is held at the end", piece, size)
					}
				}
			}
		})
	}
}

func TestReadDeadlineInsideARecordLosesNothing(t *testing.T) {
	stream := slices.Concat(record(40), record(0), record(40))
	for at := range stream {
		from := &script{steps: []any{
			stream[:at], os.ErrDeadlineExceeded, os.ErrDeadlineExceeded, stream[at : at+1], os.ErrDeadlineExceeded, stream[at+1:],
		}}
		if at == 0 {
			from.steps = from.steps[1:]
		}
		if at+1 == len(stream) {
			from.steps = from.steps[:len(from.steps)-1]
		}
		c := NewTLS(from)
		l := law{stream, c, from}
		got, err := readAll(t, c, 1000, func(total int) { l.check(t, total) })
		if !bytes.Equal(got, stream) || err != io.EOF {
			t.Errorf("timeouts at byte %d: read %d bytes, %v; want %d, EOF", at, len(got), err, len(stream))
		}
	}
}

func TestErrorInsideARecordIsReported(t *testing.T) {
	broken := errors.New("connection reset")
	from := &script{steps: []any{record(3)[:6], broken}}
	c := NewTLS(from)
	if n, err := c.Read(make([]byte, 100)); n != 0 || err != broken {
		t.Errorf("Read = %d, %v; want 0, %v", n, err, broken)
	}
}

func TestPlainConnReadsOnceAndHoldsNothing(t *testing.T) {
	from := &script{steps: []any{[]byte("\x17\x03"), []byte("abc")}}
	c := New(from)
	p := make([]byte, 10)
	if n, err := c.Read(p); n != 2 || err != nil || from.reads != 1 || c.ahead != nil {
		t.Errorf("Read = %d, %v after %d reads of the socket; want 2, nil after 1", n, err, from.reads)
	}
}

func TestIdleConnHoldsNoBuffer(t *testing.T) {
	stream := slices.Concat(record(10), record(20), record(30)[:9])
	from := &script{steps: []any{stream, record(30)[9:], os.ErrDeadlineExceeded}}
	c := NewTLS(from)
	var p [1000]byte
	if n, err := c.Read(p[:]); n != 40 || err != nil || c.ahead == nil {
		t.Fatalf("Read = %d, %v; want the 40 bytes of two records", n, err)
	}
	if n, err := c.Read(p[:]); n != 35 || err != nil || c.ahead != nil {
		t.Fatalf("Read = %d, %v, holding %v; want 35 bytes of the third record and nothing held", n, err, c.ahead != nil)
	}
}

func TestBuffersAreGivenBackEmpty(t *testing.T) {
	c := NewTLS(&script{steps: []any{record(8)[:7], os.ErrDeadlineExceeded}})
	c.Read(make([]byte, 100))
	held := c.ahead
	c.freeAhead()
	if len(*held) != 0 || c.ahead != nil || c.whole != 0 {
		t.Errorf("a buffer was given back with %d bytes of its connection", len(*held))
	}
}

// Any stream, cut and interrupted anywhere, passes unchanged, and no Read ends inside a
// record whose rest is still in the socket.
func FuzzRecords(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint64(1))
	f.Add(slices.Concat(record(1), record(0), record(700)), uint64(2))
	f.Add(slices.Concat(record(500), record(400)[:90]), uint64(3))
	f.Add(slices.Concat(record(6), []byte("\x17\x03\x03\xff\xff"), []byte(strings.Repeat("x", 200))), uint64(4))
	f.Add([]byte{22, 3, 1, 0}, uint64(5))
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 0))
		from := &script{}
		for rest := stream; len(rest) > 0; {
			if r.IntN(4) == 0 {
				from.steps = append(from.steps, os.ErrDeadlineExceeded)
			}
			n := 1 + r.IntN(1<<r.IntN(16))
			n = min(n, len(rest))
			from.steps = append(from.steps, rest[:n])
			rest = rest[n:]
		}
		c := NewTLS(from)
		l := law{stream, c, from}
		got, err := readAll(t, c, 1+r.IntN(1<<r.IntN(16)), func(total int) { l.check(t, total) })
		if !bytes.Equal(got, stream) || err != io.EOF {
			t.Fatalf("read %d bytes, %v; want the %d sent, EOF", len(got), err, len(stream))
		}
		if c.ahead != nil {
			t.Fatal("a buffer is held at the end")
		}
	})
}

func BenchmarkReadRecords(b *testing.B) {
	rec := record(16384)
	for _, bench := range []struct {
		name  string
		steps [][]byte
	}{
		{"whole", [][]byte{rec}},
		{"cut", [][]byte{rec[:9000], rec[9000:]}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			from := &script{}
			c, p := NewTLS(from), make([]byte, 32<<10)
			steps := make([]any, len(bench.steps))
			for i, s := range bench.steps {
				steps[i] = s
			}
			b.ReportAllocs()
			b.SetBytes(int64(len(rec)))
			for b.Loop() {
				from.steps = append(from.steps[:0], steps...)
				for got := 0; got < len(rec); {
					n, err := c.Read(p)
					if err != nil {
						b.Fatal(err)
					}
					got += n
				}
			}
		})
	}
}
