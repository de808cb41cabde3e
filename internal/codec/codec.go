// Package codec writes down what things consist of, and reads it back, in another process of the same program. A
// type says that once, in a method that is passed a [Coder]: one that writes takes the values that it is shown, and
// one that reads sets them. There is one form of each value, a reader takes no other, and no type or name is in what is
// written: both ends have to agree on a version.
package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// What is wrong, for [errors.Is].
var (
	ErrFull    = errors.New("there is no room for a value")
	ErrCut     = errors.New("the input ends inside a value")
	ErrInvalid = errors.New("a value is not written as it has to be")
	ErrLarge   = errors.New("a value is larger than allowed")
	ErrRest    = errors.New("the input goes on after its last value")
)

// A Coder writes or reads. The first error stays, and nothing happens after it: what a reader has set by then means
// nothing, nor does what a writer has written. It allocates for no more than its input has.
type Coder struct {
	b       []byte // written so far, or not yet read
	size    int    // of the input of a reader
	reading bool
	err     error
}

// Writer returns a Coder that appends to b, up to its capacity. It never moves to other memory, so that secrets are
// only where the caller can wipe them.
func Writer(b []byte) *Coder { return &Coder{b: b} }

// Reader returns a Coder that reads b, which it does not change.
func Reader(b []byte) *Coder { return &Coder{b: b, size: len(b), reading: true} }

// Reading reports whether the Coder reads.
func (c *Coder) Reading() bool { return c.reading }

// Written returns what a writer has appended to, and what it has appended. It is the memory that the writer got.
func (c *Coder) Written() []byte { return c.b }

// Left returns how many bytes a reader has not read.
func (c *Coder) Left() int { return len(c.b) }

// Err returns the first error.
func (c *Coder) Err() error { return c.err }

// End returns the first error, [ErrRest] if a reader has left bytes.
func (c *Coder) End() error {
	if c.reading && len(c.b) > 0 {
		c.Fail(ErrRest)
	}
	return c.err
}

// Fail makes err, with the place that a reader has come to, the first error, unless there is one.
func (c *Coder) Fail(err error) {
	switch {
	case c.err != nil:
	case c.reading:
		c.err = fmt.Errorf("at byte %d of %d: %w", c.size-len(c.b), c.size, err)
	default:
		c.err = err
	}
}

// Check makes it an error of a reader that something does not hold.
func (c *Coder) Check(holds bool, what string) {
	if c.reading && !holds {
		c.Fail(errors.New(what))
	}
}

// grow returns the memory of the next n bytes that are written; nil after an error.
func (c *Coder) grow(n int) []byte {
	if n > cap(c.b)-len(c.b) {
		c.Fail(ErrFull)
	}
	if c.err != nil {
		return nil
	}
	at := len(c.b)
	c.b = c.b[:at+n]
	return c.b[at:]
}

// take returns the next n bytes of a reader, as they lie in its input; nil after an error.
func (c *Coder) take(n uint64) []byte {
	if n > uint64(len(c.b)) {
		c.Fail(ErrCut)
	}
	if c.err != nil {
		return nil
	}
	b := c.b[:n:n]
	c.b = c.b[n:]
	return b
}

// Number carries an integer in as few bytes as it takes: 7 bits a byte, the lowest first; signed ones with the sign
// as the lowest bit.
func Number[T ~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64](c *Coder, v *T) {
	signed := ^T(0) < 0
	if !c.reading {
		x := uint64(*v)
		if signed {
			x = uint64(*v)<<1 ^ uint64(int64(*v)>>63)
		}
		c.number(x)
		return
	}
	x := c.readNumber()
	n := T(x)
	fits := uint64(n) == x
	if signed {
		n = T(int64(x>>1) ^ -int64(x&1))
		fits = uint64(n)<<1^uint64(int64(n)>>63) == x
	}
	if !fits {
		c.Fail(ErrLarge)
	}
	if c.err == nil {
		*v = n
	}
}

// number writes a number.
func (c *Coder) number(x uint64) {
	var b [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(b[:], x)
	copy(c.grow(n), b[:n])
}

// readNumber reads a number.
func (c *Coder) readNumber() uint64 {
	x, n := binary.Uvarint(c.b)
	switch {
	case c.err != nil:
	case n == 0:
		c.Fail(ErrCut)
	case n < 0, n > 1 && c.b[n-1] == 0: // over 64 bits, or with zeros in front
		c.Fail(ErrInvalid)
	default:
		c.b = c.b[n:]
		return x
	}
	return 0
}

// length carries a length of at most most, which is n for a writer. It returns 0 after an error.
func (c *Coder) length(n, most int) int {
	size := uint64(n)
	Number(c, &size)
	if c.err == nil && size > uint64(most) {
		c.Fail(ErrLarge)
	}
	if c.err != nil {
		return 0
	}
	return int(size)
}

// Bool carries a bool in a byte.
func (c *Coder) Bool(v *bool) {
	b := uint8(0)
	if *v {
		b = 1
	}
	Number(c, &b)
	if b > 1 {
		c.Fail(ErrInvalid)
	}
	if c.err == nil {
		*v = b == 1
	}
}

// Raw carries bytes whose number both ends know.
func (c *Coder) Raw(b []byte) {
	if c.reading {
		copy(b, c.take(uint64(len(b))))
	} else {
		copy(c.grow(len(b)), b)
	}
}

// Bytes carries at most so many bytes. A reader sets a copy, which is nil for none.
func (c *Coder) Bytes(v *[]byte, most int) {
	n := c.length(len(*v), most)
	if !c.reading {
		copy(c.grow(n), *v)
		return
	}
	if b := c.take(uint64(n)); c.err == nil {
		*v = append([]byte(nil), b...)
	}
}

// Text carries a text of at most so many bytes.
func (c *Coder) Text(v *string, most int) {
	n := c.length(len(*v), most)
	if !c.reading {
		copy(c.grow(n), *v)
		return
	}
	if b := c.take(uint64(n)); c.err == nil {
		*v = string(b)
	}
}

// mostAddress is how many bytes an address may have as text.
const mostAddress = 1 << 10

// Addr carries an address, and an invalid one as none.
func (c *Coder) Addr(v *netip.Addr) { carryParsed(c, v, netip.ParseAddr, netip.Addr.IsValid) }

// AddrPort carries an address with a port, and an invalid one as none.
func (c *Coder) AddrPort(v *netip.AddrPort) {
	carryParsed(c, v, netip.ParseAddrPort, netip.AddrPort.IsValid)
}

// carryParsed carries what has a text.
func carryParsed[T fmt.Stringer](c *Coder, v *T, parse func(string) (T, error), valid func(T) bool) {
	text := ""
	if valid(*v) {
		text = (*v).String()
	}
	c.Text(&text, mostAddress)
	if !c.reading || c.err != nil || text == "" {
		return
	}
	read, err := parse(text)
	switch {
	case err != nil:
		c.Fail(err)
	case read.String() != text:
		c.Fail(ErrInvalid)
	default:
		*v = read
	}
}

// blockHead is the size of the length before a block, in bytes.
const blockHead = 8

// Block carries what carry does, with its length before it. A reader gets a Coder of its own for that, which reads
// the bytes where they lie and ends with them. Who has it calls its End, and may keep it for later.
func (c *Coder) Block(carry func(*Coder)) {
	if c.reading {
		var size uint64
		if head := c.take(blockHead); head != nil {
			size = binary.BigEndian.Uint64(head)
		}
		if b := c.take(size); c.err == nil {
			carry(Reader(b))
		}
		return
	}
	head := c.grow(blockHead)
	start := len(c.b)
	if c.err == nil {
		carry(c)
	}
	if c.err == nil {
		binary.BigEndian.PutUint64(head, uint64(len(c.b)-start))
	}
}

// List carries a list of at most most elements, each as carry does, in at least one byte. A reader sets nil for none.
func List[T any](c *Coder, v *[]T, most int, carry func(*Coder, *T)) {
	n := c.length(len(*v), most)
	if !c.reading {
		for i := range n {
			carry(c, &(*v)[i])
		}
		return
	}
	var all []T
	for range n { // append: the number may be larger than the input
		var x T
		before := len(c.b)
		if carry(c, &x); len(c.b) == before {
			c.Fail(ErrInvalid)
		}
		if c.err != nil {
			return
		}
		all = append(all, x)
	}
	if c.err == nil {
		*v = all
	}
}

// Optional carries what v points to as carry does, or that it is nil.
func Optional[T any](c *Coder, v **T, carry func(*Coder, *T)) {
	there := *v != nil
	c.Bool(&there)
	switch {
	case c.err != nil:
	case !there:
		*v = nil
	default:
		if c.reading {
			*v = new(T)
		}
		carry(c, *v)
	}
}
