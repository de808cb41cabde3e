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

func (x *exchange) attempts(t *Target, k backend.Kind) attempts {
	return attempts{t, x.need(t, k), backend.Tried{Began: x.started, From: x.clientKey()}}
}

// attemptResult is how an endpoint has served an exchange.
type attemptResult struct {
	status attemptStatus
	err    error // of the attempt; with served, an answer that counts as a failure
	keep   bool  // the lease belongs to the caller now
}

// An attemptStatus is what an attempt says about the endpoint.
type attemptStatus uint8

const (
	unknown attemptStatus = iota // nothing: the client left, or was wrong, or the configuration is
	served                       // it has answered
	failed                       // it has failed
	lost                         // it has failed, and another endpoint may be asked
)

// run calls ask with one endpoint after the other until one has not lost the exchange,
// and returns that result. It returns an error if there is no endpoint to ask.
func (a *attempts) run(ctx context.Context, ask func(*backend.Lease) attemptResult) (attemptResult, error) {
	for {
		r, err := a.once(ctx, ask)
		if err != nil || r.status != lost {
			return r, err
		}
	}
}

// once calls ask with one endpoint, and tells its pool of the result.
func (a *attempts) once(ctx context.Context, ask func(*backend.Lease) attemptResult) (r attemptResult, err error) {
	lease, err := a.target.Pool.Acquire(ctx, a.need, &a.tried)
	if err != nil {
		return r, err
	}
	defer func() { // after a panic too; after Fail this does nothing
		if !r.keep {
			lease.Release()
		}
	}()
	r = ask(lease)
	switch r.status {
	case served, failed:
		lease.Report(&a.tried, r.err)
	case lost:
		lease.Fail(&a.tried, r.err)
	}
	return r, nil
}

// errFailureStatus is an answer that the backend's settings count as a failure.
var errFailureStatus = errors.New("the status of the answer is among 'statuses'")

// checkStatus returns what is wrong with an answer of that status, or nil.
func (t *Target) checkStatus(status int) error {
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
