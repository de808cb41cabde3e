package h1

import "testing"

// Each byte at each place among eight others means the same as alone.
func TestIsValue(t *testing.T) {
	for b := range 256 {
		for at := range 9 {
			for _, around := range []byte{'a', 0x80, ' ', 0xff, '\t'} {
				s := make([]byte, 9)
				for i := range s {
					s[i] = around
				}
				s[at] = byte(b)
				if got, want := isValue(string(s)), all(string(s), inValue); got != want {
					t.Fatalf("isValue(%q) = %v", s, got)
				}
			}
		}
	}
}
