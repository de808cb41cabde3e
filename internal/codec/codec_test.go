package codec

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"testing"
)

// sample has a value of each kind.
type sample struct {
	A int64
	B uint8
	C uint64
	D int32
	E bool
	F [3]byte
	G []byte
	H string
	I int8
	J []string
	K *uint64
	L uint64 // in a block
}

const most = 1 << 20 // bytes of G and of H, texts in J

func (s *sample) carry(c *Coder) {
	Number(c, &s.A)
	Number(c, &s.B)
	Number(c, &s.C)
	Number(c, &s.D)
	c.Bool(&s.E)
	c.Raw(s.F[:])
	c.Bytes(&s.G, most)
	c.Text(&s.H, most)
	Number(c, &s.I)
	List(c, &s.J, most, func(c *Coder, v *string) { c.Text(v, most) })
	Optional(c, &s.K, Number[uint64])
	c.Block(func(block *Coder) {
		if Number(block, &s.L); block.Reading() && block.End() != nil {
			c.Fail(block.Err())
		}
	})
}

func written(t *testing.T, s *sample) []byte {
	t.Helper()
	c := Writer(make([]byte, 0, most))
	if s.carry(c); c.End() != nil {
		t.Fatalf("writing %+v: %v", s, c.Err())
	}
	return c.Written()
}

func read(b []byte) (s sample, err error) {
	c := Reader(b)
	s.carry(c)
	return s, c.End()
}

// samples have the ends of the ranges of all values.
func samples() map[string]sample {
	there := uint64(7)
	return map[string]sample{
		"zero values": {},
		"smallest":    {A: math.MinInt64, D: math.MinInt32, I: math.MinInt8, K: new(uint64)},
		"largest": {
			A: math.MaxInt64, B: math.MaxUint8, C: math.MaxUint64, D: math.MaxInt32, E: true, F: [3]byte{255, 255, 255},
			G: bytes.Repeat([]byte{255}, 70000), H: "text", I: math.MaxInt8, J: []string{"a", "", "\x00"}, K: &there, L: math.MaxUint64,
		},
		"two bytes":   {A: -65, B: 128, C: 128, D: 64, L: 300},
		"a long list": {J: make([]string, 1000)},
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for name, want := range samples() {
		t.Run(name, func(t *testing.T) {
			b := written(t, &want)
			if got, err := read(b); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%+v was read as %+v, %v", want, got, err)
			}
			for n := range min(len(b), 100) {
				if _, err := read(b[:n]); !errors.Is(err, ErrCut) {
					t.Errorf("reading the first %d bytes of %d: %v; want %v", n, len(b), err, ErrCut)
				}
			}
			if _, err := read(append(b, 0)); !errors.Is(err, ErrRest) {
				t.Errorf("reading a byte more: %v; want %v", err, ErrRest)
			}
		})
	}
}

func TestReaderRefuses(t *testing.T) {
	number := func(c *Coder) { Number(c, new(uint64)) }
	list := func(most int) func(*Coder) {
		return func(c *Coder) { List(c, new([]bool), most, (*Coder).Bool) }
	}
	tests := []struct {
		name, in string
		read     func(*Coder)
		want     error
	}{
		{"a number with zeros in front", "\x80\x00", number, ErrInvalid},
		{"a number of 65 bits", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", number, ErrInvalid},
		{"a number of 11 bytes", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", number, ErrInvalid},
		{"a number over its type", "\x80\x02", func(c *Coder) { Number(c, new(uint8)) }, ErrLarge},
		{"a signed number over its type", "\x80\x02", func(c *Coder) { Number(c, new(int8)) }, ErrLarge},
		{"a signed number below its type", "\x81\x02", func(c *Coder) { Number(c, new(int8)) }, ErrLarge},
		{"a bool of 2", "\x02", func(c *Coder) { c.Bool(new(bool)) }, ErrInvalid},
		{"bytes over their limit", "\x02ab", func(c *Coder) { c.Bytes(new([]byte), 1) }, ErrLarge},
		{"a text over its limit", "\x02ab", func(c *Coder) { c.Text(new(string), 1) }, ErrLarge},
		{"bytes that are not there", "\x03ab", func(c *Coder) { c.Bytes(new([]byte), 10) }, ErrCut},
		{"a length of 2^63", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", func(c *Coder) { c.Bytes(new([]byte), math.MaxInt) }, ErrLarge},
		{"a list over its limit", "\x03\x00\x00\x00", list(2), ErrLarge},
		{"a list that is not there", "\xff\x7f\x00", list(1 << 30), ErrCut},
		{"elements without bytes", "\xff\x7f", func(c *Coder) { List(c, new([]bool), 1<<30, func(*Coder, *bool) {}) }, ErrInvalid},
		{"a block longer than the rest", "\x00\x00\x00\x00\x00\x00\x00\x02x", func(c *Coder) { c.Block(func(*Coder) {}) }, ErrCut},
		{"a block of 2^64-1", "\xff\xff\xff\xff\xff\xff\xff\xffx", func(c *Coder) { c.Block(func(*Coder) {}) }, ErrCut},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Reader([]byte(tt.in))
			if tt.read(c); !errors.Is(c.Err(), tt.want) {
				t.Fatalf("reading %q: %v; want %v", tt.in, c.Err(), tt.want)
			}
			first := c.Err()
			after, same := samples()["largest"], samples()["largest"]
			if after.carry(c); !reflect.DeepEqual(after, same) || c.End() != first {
				t.Errorf("after the first error more is read, or there is another one: %v; want %v", c.End(), first)
			}
		})
	}
}

func TestWriterNeverLeavesItsMemory(t *testing.T) {
	v := samples()["largest"]
	v.G = []byte("few")
	whole := written(t, &v)
	for n := range len(whole) + 1 {
		memory := make([]byte, len(whole))
		c := Writer(memory[:0:n])
		v.carry(c)
		if full := n < len(whole); errors.Is(c.Err(), ErrFull) != full || len(c.Written()) > n {
			t.Errorf("with room for %d of %d bytes: %v, %d bytes; want %v only if there is too little", n, len(whole), c.Err(), len(c.Written()), ErrFull)
		}
		if !bytes.Equal(memory[n:], make([]byte, len(whole)-n)) {
			t.Errorf("with room for %d bytes, what is behind them is %x; want it untouched", n, memory[n:])
		}
		if n == len(whole) && !bytes.Equal(memory, whole) {
			t.Errorf("with just enough room: %x; want %x", memory, whole)
		}
	}
}

func TestWriterAppends(t *testing.T) {
	c := Writer(append(make([]byte, 0, 10), "ab"...))
	if Number(c, new(uint8)); string(c.Written()) != "ab\x00" || c.Reading() {
		t.Errorf("a number after a text is %q; want %q", c.Written(), "ab\x00")
	}
}

func TestWriterRefusesWhatAReaderWould(t *testing.T) {
	text := "ab"
	c := Writer(make([]byte, 0, 10))
	if c.Text(&text, 1); !errors.Is(c.Err(), ErrLarge) {
		t.Errorf("writing a text over its limit: %v; want %v", c.Err(), ErrLarge)
	}
}

func TestCheckIsForReaders(t *testing.T) {
	w, r := Writer(nil), Reader(nil)
	if w.Check(false, "it holds"); w.Err() != nil {
		t.Errorf("a writer has the error %v", w.Err())
	}
	if r.Check(true, "it holds"); r.Err() != nil {
		t.Errorf("a check that holds is the error %v", r.Err())
	}
	if r.Check(false, "it holds"); r.Err() == nil {
		t.Error("a check that does not hold is no error")
	}
}

func TestReaderAllocatesNoMoreThanItsInput(t *testing.T) {
	in := []byte("\xff\xff\xff\xff\x0f\x01") // four thousand million elements, one of them there
	if n := testing.AllocsPerRun(10, func() {
		List(Reader(in), new([]bool), math.MaxInt, (*Coder).Bool)
	}); n > 10 {
		t.Errorf("reading a list of 2^32 with one element there allocates %.0f times; want 10 at most", n)
	}
}

func FuzzReader(f *testing.F) {
	for _, v := range samples() {
		c := Writer(make([]byte, 0, most))
		v.carry(c)
		f.Add(c.Written())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := read(b)
		if err != nil {
			return
		}
		c := Writer(make([]byte, 0, len(b)))
		if v.carry(c); c.End() != nil || !bytes.Equal(c.Written(), b) {
			t.Fatalf("%x was read as %+v, which is written as %x, %v", b, v, c.Written(), c.End())
		}
	})
}
