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
