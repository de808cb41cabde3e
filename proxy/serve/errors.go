package serve

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"sluice/internal/limit"
	"sluice/proxy/answer"
	"sluice/proxy/backend"
	"sluice/proxy/backend/dial"
	"sluice/proxy/forward"
	"sluice/upgrade"
)

// statusClientGone is logged where the client left before there was an answer.
const statusClientGone = 499

// roomRetryAfter is when a client may try again what there was no room for, in seconds.
const roomRetryAfter = "5"

// fail answers with an error of the gateway's own: detail is for the client, err for the
// log.
func (x *exchange) fail(status int, detail string, err error) {
	x.record.Error = detail
	if err != nil {
		x.record.Error = err.Error()
	}
	x.selfAnswered = true
	x.errorPages().Error(x.answer, &x.r, status, x.record.ID, detail)
}

// errorPages returns the route's own error pages, or nil.
func (x *exchange) errorPages() *answer.Pages {
	if x.service == nil {
		return nil
	}
	return x.service.Pages
}

// refuse answers a handshake that is not let through.
func (x *exchange) refuse(r *upgrade.Refusal) {
	for name, values := range r.Header {
		x.answer.Header()[name] = values
	}
	var detail error
	if r.Detail != "" {
		detail = errors.New(r.Detail)
	}
	x.fail(r.Status, r.Reason, detail)
}

// abandon gives up a request whose client has left.
func (x *exchange) abandon(err error) {
	x.record.Error = err.Error()
	x.out.Status = statusClientGone
	panic(http.ErrAbortHandler)
}

// failRequest answers for a request that got no endpoint.
func (x *exchange) failRequest(err error) {
	if x.r.Context().Err() != nil {
		x.abandon(err)
	}
	x.failBackend(err)
}

// failBackend answers for a backend that could not be reached or has failed.
func (x *exchange) failBackend(err error) {
	if short := limit.ShortageOf(err); short != 0 {
		x.failShortage(short, err)
		return
	}
	if none, ok := errors.AsType[*backend.UnavailableError](err); ok {
		x.answer.Header().Set("Retry-After", retryAfter(none.RetryAfter))
		x.fail(http.StatusServiceUnavailable, "The backend has no room or is down.", err)
		return
	}
	if unreachable, ok := errors.AsType[*dial.Error](err); ok {
		err = unreachable // its text is complete
	}
	if isTimeout(err) {
		x.fail(http.StatusGatewayTimeout, "The backend did not answer in time.", err)
		return
	}
	x.fail(http.StatusBadGateway, "The backend could not be reached or did not answer properly.", err)
}

// failShortage answers for what failed with err because the process is short of
// something.
func (x *exchange) failShortage(what limit.Shortage, err error) {
	x.server.Shortages.Note(what, err)
	x.shortage = true
	x.answer.Header().Set("Retry-After", roomRetryAfter)
	x.fail(http.StatusServiceUnavailable, fmt.Sprintf("The gateway is out of %s.", what),
		fmt.Errorf("limit: out of %s: %s: %w", what, what.Remedy(), err))
}

// failForwarded answers for a forwarded request that failed. It cuts an answer that has
// begun.
func (x *exchange) failForwarded(result *forward.Result) {
	var e *forward.Error
	switch {
	case result.Status != 0:
		x.record.Error = result.Err.Error()
		x.out.FlushError() // what came of the answer reaches the client
		panic(http.ErrAbortHandler)
	case errors.Is(result.Err, forward.ErrTooLarge):
		x.fail(http.StatusRequestEntityTooLarge, "The request's body is too large.", result.Err)
	case !errors.As(result.Err, &e) || !e.Client:
		x.failBackend(result.Err)
	case errors.Is(result.Err, os.ErrDeadlineExceeded): // net/http has ended the request's context too
		if !x.out.Multiplexed() {
			x.answer.Header().Set("Connection", "close")
		}
		x.fail(http.StatusRequestTimeout, "The request's body came too slowly.", result.Err)
	case x.r.Context().Err() != nil:
		x.abandon(result.Err)
	default:
		x.fail(http.StatusBadRequest, "The request's body could not be read.", result.Err)
	}
}

// timeoutError is an error that isTimeout recognises.
type timeoutError struct{ text string }

func (e *timeoutError) Error() string { return e.text }
func (e *timeoutError) Timeout() bool { return true }

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// retryAfter writes a time to wait in whole seconds.
func retryAfter(wait time.Duration) string {
	return strconv.Itoa(int((wait + time.Second - 1) / time.Second))
}
