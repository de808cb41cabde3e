package translate

import (
	"net/http"
	"testing"

	"sluice/config"
	"sluice/internal/header"
)

// A field that is set to "" goes out empty: the client's value does not pass.
func TestHeadersMayBeSetToNothing(t *testing.T) {
	s, mistakes := Service(&config.Route{Paths: []string{"/*"}, Request: config.Headers{Set: map[string]string{"X-User": ""}}})
	if len(mistakes) > 0 {
		t.Fatal(mistakes)
	}
	h := header.FromHTTP(http.Header{"X-User": {"the client's"}, "x_user": {"the client's"}})
	s.RequestHeaders.Apply(&h, func(string) string { return "" })
	if len(h) != 1 || h[0].Name != "X-User" || h[0].Value != "" {
		t.Errorf("the backend gets %v; want one empty X-User", h)
	}
}
