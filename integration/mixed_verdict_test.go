//go:build linux

package integration

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"sluice/internal/wstest"
)

// check compares what a client knows of the end of a request with what may happen to it, and
// with the record of the log. Over says that an earlier answer was the last one of the
// connection.
func (l *link) check(q *request, o reception, over bool, began time.Time) error {
	switch wrong := fault(""); {
	case errors.As(o.err, &wrong):
		return wrong
	case late(o.err):
		return fault("nothing came for too long")
	case o.status == 0:
		return l.checkUnanswered(q, over, began)
	case o.status == http.StatusBadRequest && !o.ours && q.received.Load() == 0 && l.switches.touch(began):
		return nil // net/http stopped in the middle of the head; it logs none of these
	}
	disturbed := l.groupOf(q).disturbances.touch(began)
	select {
	case r := <-q.logged:
		l.live.Delete(q.number)
		err := l.checkAnswer(q, o, disturbed, began)
		if err == nil {
			err = q.checkRecord(r, o, disturbed)
		}
		if err != nil {
			return fmt.Errorf("%w: %s", err, r.text("text"))
		}
		return nil
	case <-time.After(wstest.LongGuard):
		return fmt.Errorf("no record within %v", wstest.LongGuard)
	}
}

// checkAnswer is check for what the client got.
func (l *link) checkAnswer(q *request, o reception, disturbed bool, began time.Time) error {
	switch {
	case !q.mayGet(o, disturbed):
		return errors.New("nobody gave reason for this status")
	case q.course == stops && o.ours:
		return fault("an answer to a request that did not come whole")
	case o.whole && q.course == cuts && o.ours:
		return fault("the answer was cut, but came whole")
	case !o.whole && !l.mayBreak(q, disturbed, began):
		return errors.New("the answer did not come whole, but nobody has cut it")
	case o.whole && o.ours && q.course != becomes && o.body != q.length() && !(disturbed && q.fades()):
		return fault(fmt.Sprintf("the body has %d bytes, want %d", o.body, q.length()))
	}
	return nil
}

// mayBreak reports whether the answer, or the session, may end early.
func (l *link) mayBreak(q *request, disturbed bool, began time.Time) bool {
	if q.course == becomes {
		return disturbed || q.route == mixedRoutes[3]
	}
	// A server that stops closes the connection behind the answer. If the client still sends
	// requests then, a reset may destroy what it has not read.
	return disturbed || q.course == cuts || l.left.Load() || l.switches.touch(began)
}

// groupOf returns the backend that a request is for.
func (m *mix) groupOf(q *request) *group {
	for _, g := range m.groups {
		if g.name == strings.Trim(q.route, "/") {
			return g
		}
	}
	return m.groups[0]
}

// checkUnanswered is check for a request without an answer. It may get a record.
func (l *link) checkUnanswered(q *request, over bool, began time.Time) error {
	switch got := q.received.Load(); {
	case l.left.Load():
		return nil
	case over && got > 0:
		return errors.New("an endpoint got it behind the last request of the connection")
	case over, l.switches.outlasted(began):
		return nil
	case got > 0:
		return errors.New("an endpoint got it, but the client has no answer")
	case l.switches.touch(began.Add(-firstRequests)): // the connection was closed while it was idle
		return nil
	}
	return errors.New("no answer came")
}

// mayGet reports whether the request may be answered so.
func (q *request) mayGet(o reception, disturbed bool) bool {
	switch {
	case o.ours:
		return o.status == q.status && q.course != drops
	case o.status == http.StatusNotFound:
		return q.route == mixedRoutes[3]
	case o.status == http.StatusBadGateway:
		return disturbed || q.course == drops
	}
	return o.status == http.StatusServiceUnavailable && disturbed
}

// length is how many bytes the body of the answer has.
func (q *request) length() int {
	if q.answerless() {
		return 0
	}
	return q.answer
}

// checkRecord compares the record with what the client got.
func (q *request) checkRecord(r record, o reception, disturbed bool) error {
	if q.course == becomes && o.ours {
		switch {
		case r.name() != "session ended":
			return errors.New("a record of another name, want that of a session")
		case o.whole && (r.text("cause") != "close" || r.text("ended_by") != "client"):
			return errors.New("the client has closed the session")
		case o.whole && (r.number("client_messages") != o.messages || r.number("backend_messages") != o.messages):
			return fmt.Errorf("%d messages went to the endpoint and back", o.messages)
		}
		return nil
	}
	in, out := r.number("bytes_in"), r.number("bytes_out")
	switch {
	case r.name() != "request" || r.number("status") != o.status:
		return errors.New("the record is that of another answer")
	case !o.ours:
		return nil
	case disturbed && q.fades() && o.whole:
		return nil
	case out < o.body || out > q.length() || o.whole && out != o.body:
		return fmt.Errorf("the client got %d bytes of a body of %d", o.body, q.length())
	case in > q.size || o.whole && q.course == runs && in != q.size:
		return fmt.Errorf("the endpoint got a body of %d bytes", q.size)
	case o.whole && q.course == runs && r.text("error") != "":
		return errors.New("an error, but all went well")
	case q.course == cuts && r.text("error") == "":
		return errors.New("no error, but the endpoint has cut the answer")
	}
	return nil
}
