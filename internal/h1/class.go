package h1

// A class says what a byte may be part of.
type class uint8

const (
	inToken  class = 1 << iota // RFC 9110, section 5.6.2
	inValue                    // of a field: all but controls; HTAB and obs-text too
	inTarget                   // printable and not a space; obs-text too, which clients send
	inHost                     // RFC 3986, section 3.2.2: reg-name, IP literal, port
)

var classes = func() (c [256]class) {
	const other = "!#$%&'*+-.^_`|~"
	for i := range c {
		b := byte(i)
		letter := b|0x20 >= 'a' && b|0x20 <= 'z'
		digit := b >= '0' && b <= '9'
		switch {
		case letter || digit:
			c[i] = inToken | inValue | inTarget | inHost
		case b > ' ' && b != 0x7f:
			c[i] = inValue | inTarget
		case b == ' ' || b == '\t':
			c[i] = inValue
		}
	}
	for _, b := range []byte(other) {
		c[b] |= inToken
	}
	for _, b := range []byte("-._~%!$&'()*+,;=:[]") {
		c[b] |= inHost
	}
	return c
}()

// all reports whether s has only bytes of a class.
func all(s string, of class) bool {
	for i := range len(s) {
		if classes[s[i]]&of == 0 {
			return false
		}
	}
	return true
}

// isValue is all of inValue, eight bytes at a time.
func isValue(s string) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; len(s) >= 8; s = s[8:] {
		w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		del := w ^ 0x7f*ones
		control := (w-' '*ones)&^w | (del-ones)&^del // its top bits: of a byte below ' ', or DEL
		if control&tops != 0 && !all(s[:8], inValue) {
			return false
		}
	}
	return all(s, inValue)
}
