package acme

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

// add adds err as a reason, and returns f. Kind is the type of the challenge that
// failed, or "" when something else did.
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

// reason returns what an error of x/crypto/acme says to an operator, without
// URLs and types of problems. The text is safe for a log.
func reason(err error) string {
	if e, ok := errors.AsType[*acme.AuthorizationError](err); ok && len(e.Errors) > 0 {
		return reason(e.Errors[0]) // of the one challenge that was tried
	}
	if e, ok := errors.AsType[*acme.OrderError](err); ok && e.Problem != nil {
		return reason(e.Problem)
	}
	if e, ok := errors.AsType[*acme.Error](err); ok && e.ProblemType != "" { // else it was not a problem document (RFC 7807)
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

// printable returns a text of the CA without control characters, and cut to 500
// bytes.
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
	retries   = 10               // of one request that the CA was too busy for, or whose nonce it refused
	retryWait = 10 * time.Second // at most, before one of them
)

// retryBackoff returns how long to wait before a request is sent once more, or
// -1 when it is not sent again. N counts from 1; res may be nil. It is as
// [acme.Client] wants it.
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

// retryAfter returns the time in the Retry-After header (RFC 9110, section
// 10.2.3), if it has one.
func retryAfter(h http.Header, now time.Time) (time.Time, bool) {
	value := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil && seconds >= 0 && seconds < 1<<30 {
		return now.Add(time.Duration(seconds) * time.Second), true
	}
	at, err := http.ParseTime(value)
	return at, err == nil
}
