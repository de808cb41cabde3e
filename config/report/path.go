package report

import (
	"strconv"
	"strings"

	"sluice/internal/httpsyntax"
)

// Path names a value of a configuration, as routes[2].websocket.origins[0].
type Path string

// Key is the path of the value that the mapping at p has under a name.
func (p Path) Key(name string) Path {
	name = Shorten(name) // a path is kept for each value below it
	if !IsWord(name) {
		name = strconv.Quote(name)
	}
	if p == "" {
		return Path(name)
	}
	return p + Path("."+name)
}

// Index is the path of an element of the list at p.
func (p Path) Index(i int) Path { return p + Path("["+strconv.Itoa(i)+"]") }

// Parent cuts the last step of p. For a quoted key it may stop inside the quotes first, at a path
// that names nothing.
func (p Path) Parent() Path { return p[:max(strings.LastIndexAny(string(p), ".["), 0)] }

// IsWord reports whether s has nothing but letters, digits, '_' and '-', and is not empty.
func IsWord(s string) bool {
	for i := range len(s) {
		if !httpsyntax.IsNameByte(s[i]) {
			return false
		}
	}
	return s != ""
}
