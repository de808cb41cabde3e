package config

import (
	"reflect"
	"testing"
)

// checkLayout fails the test if a text that is laid out is another configuration.
func checkLayout(t *testing.T, text string) {
	t.Helper()
	form, err := Format("f", []byte(text))
	if err != nil {
		return // FuzzFormat of package layout says when that may be
	}
	// Positions are others, and where they are not shown nothing depends on them.
	show := func(text string) (map[string]any, int) {
		c, err := parse(text)
		problems, _ := err.(Problems)
		if c == nil {
			return nil, len(problems)
		}
		return c.Show(), len(problems)
	}
	before, wrongBefore := show(text)
	after, wrongAfter := show(string(form))
	if !reflect.DeepEqual(before, after) || wrongBefore != wrongAfter {
		t.Errorf("%q\nis %v with %d mistakes, and laid out\n%s\nit is %v with %d", text, before, wrongBefore, form, after, wrongAfter)
	}
}

func TestLayingOutKeepsTheConfiguration(t *testing.T) {
	checkLayout(t, example(t))
	for _, text := range seeds() {
		checkLayout(t, text)
	}
}
