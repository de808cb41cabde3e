package tlsconf

import (
	"encoding/base64"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
)

func TestComplaints(t *testing.T) {
	tests := []struct {
		name, text string
		status     int
		want       map[string]string
	}{
		{"nothing wrong", `{"status": "valid"}`, 200, map[string]string{}},
		{"problem", `{"type": "x:malformed", "detail": "no\nway"}`, 400, map[string]string{"": "no way"}},
		{"nonce", `{"type": "urn:ietf:params:acme:error:badNonce", "detail": "again"}`, 400, map[string]string{}},
		{"challenges", `{"challenges": [{"type": "http-01", "error": {"detail": "a"}}, {"type": "dns-01"}]}`, 200, map[string]string{"http-01": "a"}},
		{"order", `{"status": "invalid", "error": {"detail": "caa"}}`, 200, map[string]string{"": "caa"}},
		{"not JSON", `<html>`, 502, nil},
	}
	for _, tt := range tests {
		if got := complaints([]byte(tt.text), tt.status); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: complaints(%s) = %q, want %q", tt.name, tt.text, got, tt.want)
		}
	}
}

func FuzzComplaints(f *testing.F) { // what the CA says can be logged
	f.Add([]byte(`{"detail": "a\u0000b", "challenges": [{"type": "x\u007f", "error": {"detail": "` + strings.Repeat("é", 300) + `"}}]}`))
	f.Add([]byte(`{"error": {}, "challenges": null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		for by, why := range complaints(text, 400) {
			if strings.ContainsFunc(by+why, unicode.IsControl) || len(by) > 500 || len(why) > 500 {
				t.Fatalf("complaints(%q) has %q: %q", text, by, why)
			}
		}
	})
}

func TestOrderedName(t *testing.T) {
	jws := func(payload string) string {
		return `{"protected": "x", "payload": "` + base64.RawURLEncoding.EncodeToString([]byte(payload)) + `", "signature": "x"}`
	}
	for body, want := range map[string]string{
		jws(`{"identifiers": [{"type": "dns", "value": "a.test"}]}`): "a.test",
		jws(`{"identifiers": []}`):                                   "",
		jws(`{"contact": ["mailto:a@b"]}`):                           "",
		jws(``):                                                      "",
		`{"payload": "?"}`:                                           "",
		`[]`:                                                         "",
	} {
		r, err := http.NewRequest("POST", fakeURL, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if got := orderedName(r); got != want {
			t.Errorf("orderedName(%s) = %q, want %q", body, got, want)
		}
	}
}

func TestRetryBackoff(t *testing.T) {
	answer := func(retryAfter string) *http.Response {
		return &http.Response{Header: http.Header{"Retry-After": {retryAfter}}}
	}
	tests := []struct {
		name      string
		n         int
		res       *http.Response
		low, high time.Duration
	}{
		{"first", 1, answer(""), 200 * time.Millisecond, 300 * time.Millisecond},
		{"no answer", 2, nil, 400 * time.Millisecond, 500 * time.Millisecond},
		{"last", retries, answer(""), retryWait, retryWait + 100*time.Millisecond},
		{"one too many", retries + 1, answer(""), -1, -1},
		{"told when", 1, answer("3"), 2 * time.Second, 3100 * time.Millisecond},
		{"told to stay away", 1, answer("3600"), -1, -1},
		{"told nonsense", 1, answer("soon"), 200 * time.Millisecond, 300 * time.Millisecond},
	}
	for _, tt := range tests {
		if got := retryBackoff(tt.n, nil, tt.res); got < tt.low || got > tt.high {
			t.Errorf("%s: retryBackoff(%d) = %v, want %v to %v", tt.name, tt.n, got, tt.low, tt.high)
		}
	}
}
