package tlsconf

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/crypto/acme"
)

// failure is why the CA did not issue a certificate.
type failure struct {
	ordered bool      // the CA has taken an order, and may count the failure
	wait    time.Time // the CA wants no request before
	reasons []string  // the last one first
}

func (f *failure) Error() string { return strings.Join(f.reasons, "; ") }

// add adds a reason, and returns f. Kind is the type of the challenge that
// failed, "" for what is no challenge.
func (f *failure) add(kind string, err error) *failure {
	text := strings.TrimPrefix(kind+": "+reason(err), ": ")
	f.reasons = append([]string{text}, f.reasons...)
	if e, ok := errors.AsType[*acme.Error](err); ok {
		if wait, ok := retryAfter(e.Header, time.Now()); ok && wait.After(f.wait) {
			f.wait = wait
		}
	}
	return f
}

// reason is what an error of package acme says, without what only a programmer
// wants to know, and fit for a log.
func reason(err error) string {
	if e, ok := errors.AsType[*acme.AuthorizationError](err); ok && len(e.Errors) > 0 {
		return reason(e.Errors[0]) // one challenge was tried, so there is one
	}
	if e, ok := errors.AsType[*acme.OrderError](err); ok && e.Problem != nil {
		return reason(e.Problem)
	}
	if e, ok := errors.AsType[*acme.Error](err); ok && e.ProblemType != "" { // else it is no problem document (RFC 7807)
		return printable(e.Detail)
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		if u, wrong := url.Parse(e.URL); wrong == nil {
			return fmt.Sprintf("%s cannot be reached: %v", u.Host, e.Err)
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("the CA was not done after %v", orderTimeout)
	}
	return printable(err.Error())
}

// printable is a text of the CA's as a log may have it.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	return strings.ToValidUTF8(s[:min(len(s), 500)], "")
}

const (
	retries   = 10 // of one request that the CA was too busy for, or whose nonce it refused
	retryWait = 10 * time.Second
)

// retryBackoff says how long to wait before a request is sent once more, or
// that it is not.
func retryBackoff(n int, _ *http.Request, res *http.Response) time.Duration {
	wait := min(100*time.Millisecond<<min(n, 10), retryWait)
	if res != nil {
		if at, ok := retryAfter(res.Header, time.Now()); ok {
			wait = time.Until(at)
		}
	}
	if n > retries || wait > retryWait {
		return -1
	}
	return max(wait, time.Millisecond) + rand.N(100*time.Millisecond)
}

// retryAfter reads the header of that name (RFC 9110, section 10.2.3).
func retryAfter(h http.Header, now time.Time) (time.Time, bool) {
	value := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil && seconds >= 0 && seconds < 1<<30 {
		return now.Add(time.Duration(seconds) * time.Second), true
	}
	at, err := http.ParseTime(value)
	return at, err == nil
}
