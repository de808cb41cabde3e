package translate

import (
	"net/http"
	"slices"
	"testing"

	"sluice/config"
)

// A field that is set to "" goes out empty: the client's value does not pass.
func TestHeadersMayBeSetToNothing(t *testing.T) {
	s, mistakes := Service(&config.Route{Path: "/*", Request: config.Headers{Set: map[string]string{"X-User": ""}}})
	if len(mistakes) > 0 {
		t.Fatal(mistakes)
	}
	h := http.Header{"X-User": {"the client's"}, "x_user": {"the client's"}}
	s.RequestHeaders.Apply(h, func(string) string { return "" })
	if len(h) != 1 || !slices.Equal(h["X-User"], []string{""}) {
		t.Errorf("the backend gets %q; want one empty X-User", h)
	}
}
