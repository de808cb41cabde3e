package clientio

import (
	"os"
	"time"
)

// How long the gateway waits for a client (ADR 18). A client begins with initialCredit.
// Each byte that its TCP takes or sends adds the time that the byte may take at the lowest
// rate allowed, and each second of waiting takes one away. A client never has more than
// MaxCredit, whatever it did before. Every stream of a connection earns what moves on the
// whole connection.
const (
	// DefaultRate holds for requests that no route has matched, in bytes a second.
	DefaultRate = 500

	// MaxCredit is the longest wait without a byte.
	MaxCredit = 60 * time.Second

	initialCredit = 10 * time.Second

	// updateInterval is how often the progress of a connection is read between
	// waits. During a wait it is read ten times as often.
	updateInterval = time.Second
)

// ErrSlow is what a client fails with that has used up its credit. It is a timeout, and is
// [os.ErrDeadlineExceeded] too.
var ErrSlow error = slow{}

type slow struct{}

func (slow) Error() string        { return "slower than 'min_body_rate' lets a client be" }
func (slow) Timeout() bool        { return true }
func (slow) Is(target error) bool { return target == os.ErrDeadlineExceeded }

// An Account is the credit of a client: how long it may still be waited for. Moments are
// nanoseconds of any one clock.
type Account struct {
	left    time.Duration
	seen    int64 // progress at the last update
	updated int64 // moment of the last update; 0 before the first wait
	paid    int64 // moment up to which the current wait was taken from left
}

// NewAccount returns the account of a client that has not been waited for.
func NewAccount() Account { return Account{left: initialCredit} }

// Left returns how long the client may still be waited for.
func (a *Account) Left() time.Duration { return a.left }

// Open begins to count what the client earns, from that progress on.
func (a *Account) Open(now, progress int64) { a.seen, a.updated = progress, now }

// Begin begins a wait. Progress returns how many bytes the connection has taken or sent so
// far; rate is the lowest one allowed, in bytes a second.
func (a *Account) Begin(now int64, rate float64, progress func() int64) {
	a.paid = now
	if a.updated == 0 || now-a.updated >= int64(updateInterval) {
		a.update(now, rate, progress())
	}
}

// Look takes what has passed of the wait from the credit, adds what the client has earned,
// and returns how long to wait until the next look. It is 0 when the wait has taken too
// long.
func (a *Account) Look(now int64, rate float64, progress func() int64) time.Duration {
	a.End(now)
	a.update(now, rate, progress())
	if a.left <= 0 {
		return 0
	}
	return max(a.left, updateInterval/10)
}

// End ends a wait.
func (a *Account) End(now int64) {
	a.left -= time.Duration(now - a.paid)
	a.paid = now
}

// update adds what the connection has earned since the last update.
func (a *Account) update(now int64, rate float64, progress int64) {
	if a.updated != 0 {
		earned := float64(progress-a.seen) / rate * float64(time.Second)
		a.left = time.Duration(min(float64(a.left)+max(earned, 0), float64(MaxCredit)))
	}
	a.seen, a.updated = progress, now
}
