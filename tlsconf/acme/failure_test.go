package acme

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/crypto/acme"
)

func TestReason(t *testing.T) {
	problem := func(detail string) *acme.Error {
		return &acme.Error{StatusCode: 400, ProblemType: "urn:ietf:params:acme:error:malformed", Detail: detail}
	}
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"problem", problem("no\nway"), "no way"},
		{"challenge", &acme.AuthorizationError{URI: "x", Errors: []error{problem("a")}}, "a"},
		{"authorization without a challenge's error", &acme.AuthorizationError{Identifier: "a.test"}, "acme: authorization error for a.test: "},
		{"order", &acme.OrderError{Status: "invalid", Problem: problem("caa")}, "caa"},
		{"order without a problem", &acme.OrderError{OrderURL: "x", Status: "invalid"}, "acme: order x status: invalid"},
		{"not a problem document", &acme.Error{StatusCode: 502, Detail: "<html>\n"}, "502 : <html> "},
		{"unreached", &url.Error{Op: "Get", URL: "https://ca.test:14000/dir", Err: errors.New("no route")}, "ca.test:14000 cannot be reached: no route"},
		{"too slow", context.DeadlineExceeded, "the CA was not done after 10m0s"},
	}
	for _, tt := range tests {
		if got := reason(tt.err); got != tt.want {
			t.Errorf("%s: reason(%v) = %q, want %q", tt.name, tt.err, got, tt.want)
		}
	}
}

// FuzzReason checks that a text of the CA is safe for a log.
func FuzzReason(f *testing.F) {
	f.Add("x:malformed", "a\x00b\u007f", 400)
	f.Add("", strings.Repeat("é", 300), 502)
	f.Fuzz(func(t *testing.T, kind, detail string, status int) {
		problem := &acme.Error{StatusCode: status, ProblemType: kind, Detail: detail}
		for _, err := range []error{problem, &acme.AuthorizationError{Errors: []error{problem}}, &acme.OrderError{Problem: problem}} {
			if why := reason(err); strings.ContainsFunc(why, unicode.IsControl) || len(why) > 500 {
				t.Fatalf("reason(%#v) = %q", err, why)
			}
		}
	})
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
