package top

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"sluice/internal/admin"
)

// model is everything that is known and what the operator looks at. It changes by its methods alone,
// which neither wait nor draw.
type model struct {
	interval      time.Duration
	now           time.Time
	width, height int

	picture *picture // nil until the first look
	lost    *outage  // nil while the gateway answers
	due     time.Time

	view   int
	tables [views]*table
	filter *filter // of the sessions
	trying *filter // a filter that the gateway is asked about
	asking bool    // trying is meant, which may be nil: all sessions

	prompt  *prompt // nil unless something is asked
	tap     *tap    // nil unless a session is tapped
	help    bool
	message string // what happened; it stays until the next key
	wrong   bool   // the message is one of something that failed

	changes []change // to be made, the first one first
	quit    bool
}

// outage is a time in which the gateway does not answer.
type outage struct {
	since time.Time
	why   string
	tries int
}

// change is something that the gateway is told to do.
type change struct {
	method, path string
	parameters   url.Values
	done         string // what to say when it has done it
}

func newModel(interval time.Duration, now time.Time) *model {
	return &model{interval: interval, now: now, due: now, tables: newTables()}
}

// table returns the table that is shown.
func (m *model) table() *table { return m.tables[m.view] }

// query returns what the next look is to ask.
func (m *model) query() query {
	q := query{view: m.view, filter: m.filter, order: m.tables[sessionsView].order()}
	if m.asking {
		q.view, q.filter = sessionsView, m.trying
	}
	return q
}

// fresh makes the next look due at once.
func (m *model) fresh() {
	if m.lost == nil {
		m.due = m.now
	}
}

func (m *model) say(text string)  { m.message, m.wrong = text, false }
func (m *model) warn(text string) { m.message, m.wrong = text, true }

// How long the next look is waited for.
const (
	restAfter   = 9                // times as long as the last one took, so that no gateway is kept busy by it
	firstPause  = time.Second      // before the second try where the gateway does not answer; each is twice as long
	longerPause = 10 * time.Second // but not longer than this
)

// looked takes an answer to a look that ended at now.
func (m *model) looked(l look, now time.Time) {
	m.now = now
	m.due = later(l.at.Add(m.interval), now.Add(restAfter*now.Sub(l.at)))
	if o := m.lost; o != nil {
		m.lost = nil
		m.say(fmt.Sprintf("the gateway answers again, after %s: %s", seconds(now.Sub(o.since)), o.why))
	}
	if m.asking && l.view == sessionsView && l.filter == m.trying {
		m.filter, m.trying, m.asking, m.prompt = m.trying, nil, false, nil
		m.tables[sessionsView].deselect()
	}
	if l.query != m.query() {
		m.due = now // the operator wants something else meanwhile
	}
	m.picture = m.picture.next(l)
	m.tables[sessionsView].set(sessionRows(m.picture))
	m.tables[backendsView].set(endpointRows(m.picture))
	m.tables[routesView].set(routeRows(m.picture))
}

// later returns the later one of two moments.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// failed takes the error of a look for q that ended at now. The status is 0 if there was no answer.
func (m *model) failed(q query, status int, err error, now time.Time) {
	m.now = now
	if m.asking && q.filter == m.trying && m.prompt != nil {
		m.asking, m.trying = false, nil
		m.prompt.waiting, m.prompt.wrong = false, reason(err)
		if status == http.StatusBadRequest {
			m.due = now
			return
		}
	}
	if m.lost == nil {
		m.lost = &outage{since: now}
	}
	m.lost.tries++
	m.lost.why = reason(err)
	pause := longerPause
	if shift := m.lost.tries - 1; shift < 4 {
		pause = min(pause, firstPause<<shift)
	}
	m.due = now.Add(max(pause, m.interval))
}

// changed takes the outcome of a change.
func (m *model) changed(c change, err error, now time.Time) {
	m.now = now
	m.fresh()
	if err != nil {
		m.warn(reason(err))
		return
	}
	m.say(c.done)
}

// tapped takes lines of the tap of a session, and its end. Those of a tap that was left are nothing.
func (m *model) tapped(session string, lines []admin.TapLine, ended bool, err error) {
	if m.tap == nil || m.tap.session != session {
		return
	}
	for _, l := range lines {
		m.tap.add(l)
	}
	if err != nil {
		m.tap.end("(" + reason(err) + ")")
	} else if ended {
		m.tap.end("(the session has ended)")
	}
}

// reason returns what went wrong without the address of the interface, which everything here is about.
func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("it takes longer than %v", requestTimeout)
	}
	if failed, ok := errors.AsType[*net.OpError](err); ok {
		return failed.Err.Error()
	}
	if inner := errors.Unwrap(err); inner != nil && strings.HasPrefix(err.Error(), "admin interface at ") {
		err = inner
	}
	return err.Error()
}

// askFilter opens the prompt for a filter, which stays open until the gateway has taken the filter.
func (m *model) askFilter() {
	m.view = sessionsView
	m.prompt = &prompt{
		title:  "Show sessions that match, such as: route=chat client=192.0.2.0/24 min_idle=10m (empty: all)",
		fields: []input{newInput("filter: ", m.filter.String())},
		done: func(m *model, p *prompt) {
			f, err := parseFilter(p.value(0))
			if err != nil {
				p.wrong = err.Error()
				return
			}
			m.trying, m.asking, p.waiting = f, true, true
			m.fresh()
		},
	}
}

// What a kill does unless something else is written, as the interface has it.
const (
	defaultCode   = "1008"
	defaultReason = "ended by operator"
)

// askKill asks how a session is to be ended. About says whose it is.
func (m *model) askKill(session, about string) {
	m.prompt = &prompt{
		title:  "End session " + session + " (" + about + ") with a Close frame",
		fields: []input{newInput("code: ", defaultCode), newInput("reason: ", defaultReason)},
		question: func(p *prompt) string {
			return fmt.Sprintf("End session %s with %s %q? (y/n)", session, p.value(0), p.value(1))
		},
		done: func(m *model, p *prompt) {
			c := change{method: http.MethodDelete, path: admin.Path("sessions", session), parameters: make(url.Values), done: "ended session " + session}
			for i, name := range []string{"code", "reason"} {
				if v := strings.TrimSpace(p.value(i)); v != "" {
					c.parameters.Set(name, v)
				}
			}
			m.changes = append(m.changes, c)
		},
	}
}

// askDrain asks whether an endpoint is really to be drained or, with on false, given work again.
func (m *model) askDrain(backend, endpoint string, on bool) {
	verb, question, done := "drain", "Drain %s of %s: no new work, and its sessions end over drain_time? (y/n)", "draining "
	if !on {
		verb, question, done = "undrain", "Give %s of %s work again? (y/n)", "given work again: "
	}
	m.prompt = &prompt{
		question: func(*prompt) string { return fmt.Sprintf(question, endpoint, backend) },
		done: func(m *model, _ *prompt) {
			m.changes = append(m.changes, change{
				method: http.MethodPost, path: admin.Path("backends", backend, "endpoints", endpoint, verb), done: done + endpoint + " of " + backend,
			})
		},
	}
}
