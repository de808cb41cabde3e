package serve

import (
	"context"
	"errors"
	"slices"

	"sluice/internal/limit"
	"sluice/proxy/backend"
	"sluice/proxy/backend/dial"
)

// attempts is the endpoints that one exchange asks, one after the other.
type attempts struct {
	target *Target
	need   backend.Need
	tried  backend.Tried
}

func (x *exchange) attempts(t *Target, k backend.Kind) *attempts {
	return &attempts{t, x.need(t, k), backend.Tried{Began: x.started, From: x.clientKey()}}
}

// outcome is how an endpoint has served an exchange.
type outcome struct {
	err   error // the endpoint's failure; nil if it has served
	retry bool  // nothing is lost: another endpoint may be asked
	mute  bool  // it says nothing about the endpoint
	keep  bool  // the lease is the caller's now
}

// run calls ask with one endpoint after the other until it does not want to retry. It
// returns an error if no endpoint is left.
func (a *attempts) run(ctx context.Context, ask func(*backend.Lease) outcome) error {
	for {
		o, err := a.once(ctx, ask)
		if err != nil || !o.retry {
			return err
		}
	}
}

func (a *attempts) once(ctx context.Context, ask func(*backend.Lease) outcome) (o outcome, err error) {
	lease, err := a.target.Pool.Acquire(ctx, a.need, &a.tried)
	if err != nil {
		return o, err
	}
	defer func() { // after a panic too
		if !o.keep {
			lease.Release()
		}
	}()
	o = ask(lease)
	switch {
	case o.mute:
	case o.retry:
		lease.Fail(&a.tried, o.err)
	default:
		lease.Report(&a.tried, o.err)
	}
	return o, nil
}

// errFailureStatus is an answer that the backend's settings count as a failure.
var errFailureStatus = errors.New("the status of the answer is among 'statuses'")

// verdict returns what is wrong with an answer of that status, or nil.
func (t *Target) verdict(status int) error {
	if slices.Contains(t.Failures, status) {
		return errFailureStatus
	}
	return nil
}

// isOurs reports whether an attempt failed because the process is short of something
// that no other endpoint gives.
func isOurs(err error) bool {
	short := limit.ShortageOf(err)
	return short != 0 && short != limit.NoPorts
}

// isUnreachable reports whether an endpoint could not be connected to.
func isUnreachable(err error) bool {
	_, ok := errors.AsType[*dial.Error](err)
	return ok
}
