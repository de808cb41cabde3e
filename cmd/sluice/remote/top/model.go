package top

import (
	"cmp"
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
	message string // what happened; see dismiss
	wrong   bool   // the message is one of something that failed
	drawn   bool   // the message was on the screen
	pasting bool   // the keys that come are pasted

	asked   time.Time // when the look that is under way was begun; zero if none is
	changes []change  // to be made, the first one first
	quit    bool
}

// outage is a time in which the gateway does not answer.
type outage struct {
	since time.Time
	why   string
	tries int

	refused bool // it does answer, but not with what was asked for
}

// change is something that the gateway is told to do.
type change struct {
	method, path string
	parameters   url.Values
	what         string // what it changes
	doing, done  string // what to say at first, and when the gateway has done it
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

// How long it takes until the operator is told.
const (
	slowAfter  = 2 * time.Second // that a look is waited for
	staleAfter = 2               // intervals, and the time above, that the picture is old
)

// stale returns how old the picture is, or 0 if it is as new as it can be.
func (m *model) stale() time.Duration {
	if m.picture == nil {
		return 0
	}
	if age := m.now.Sub(m.picture.at); age > staleAfter*m.interval+slowAfter {
		return age
	}
	return 0
}

// delay says that the gateway is waited for, or that what is shown is old, if that is so.
func (m *model) delay() string {
	if !m.asked.IsZero() {
		if waited := m.now.Sub(m.asked); waited > slowAfter {
			return "waiting for the gateway for " + seconds(waited)
		}
	}
	if age := m.stale(); age > 0 {
		return "as of " + seconds(age) + " ago"
	}
	return ""
}

// fresh makes the next look due at once.
func (m *model) fresh() {
	if m.lost == nil {
		m.due = m.now
	}
}

func (m *model) say(text string)  { m.message, m.wrong, m.drawn = text, false, false }
func (m *model) warn(text string) { m.message, m.wrong, m.drawn = text, true, false }

// seen is called when everything was drawn. A prompt hides the message.
func (m *model) seen() { m.drawn = m.prompt == nil }

// dismiss removes the message, which has been read if it was on the screen before the key.
func (m *model) dismiss() {
	if m.drawn {
		m.message = ""
	}
}

// readOnly reports whether the gateway refuses every change, and says so.
func (m *model) readOnly() bool {
	if m.picture == nil || !m.picture.status.ReadOnly {
		return false
	}
	m.warn("this gateway's interface is read-only")
	return true
}

// change has the gateway told to do something.
func (m *model) change(c change) {
	m.changes = append(m.changes, c)
	m.say(c.doing + " ...")
}

// How long the next look is waited for.
const (
	restAfter   = 9                // times as long as the last one took, so that no gateway is kept busy by it
	longestRest = 10 * time.Second // but not longer than this
	firstPause  = time.Second      // before the second try where the gateway does not answer; each is twice as long
	longerPause = 10 * time.Second // but not longer than this
)

// looked takes an answer to a look that ended at now.
func (m *model) looked(l look, now time.Time) {
	m.now = now
	m.asked = time.Time{}
	m.due = later(l.at.Add(m.interval), now.Add(min(longestRest, restAfter*now.Sub(l.at))))
	if o := m.lost; o != nil {
		m.lost = nil
		m.say("the gateway answers again, after " + seconds(now.Sub(o.since)))
	}
	if m.asking && l.view == sessionsView && l.filter == m.trying {
		m.filter, m.trying, m.asking, m.prompt = m.trying, nil, false, nil
		m.tables[sessionsView].deselect()
	}
	if l.query != m.query() {
		m.due = now // the operator wants something else meanwhile
	}
	selected := m.table().selected
	m.picture = m.picture.next(l)
	m.tables[sessionsView].set(sessionRows(m.picture))
	m.tables[backendsView].set(endpointRows(m.picture))
	m.tables[routesView].set(routeRows(m.picture))
	if selected != "" && m.table().selected == "" && m.message == "" {
		m.warn(m.unselected(""))
	}
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
	m.now, m.asked = now, time.Time{}
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
	m.lost.why, m.lost.refused = reason(err), status != 0
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
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		m.warn(fmt.Sprintf("%s: no answer within %v; it may or may not be done", c.what, requestTimeout))
	case err != nil:
		m.warn(c.what + ": " + reason(err))
	default:
		m.say(c.done)
	}
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
		m.tap.failed(reason(err))
	} else if ended {
		m.tap.end("(the session has ended)")
	}
}

// reason returns what went wrong without the address of the interface, which everything here is about.
func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("it takes longer than %v", requestTimeout)
	}
	about, named := strings.CutPrefix(err.Error(), "admin interface at ")
	if failed, ok := errors.AsType[*net.OpError](err); ok {
		if where, _, ok := strings.Cut(about, ": "); ok && named && failed.Net == "unix" && failed.Op == "dial" {
			return "no gateway at " + where
		}
		return failed.Err.Error()
	}
	if inner := errors.Unwrap(err); inner != nil && named {
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
	if m.readOnly() {
		return
	}
	m.prompt = &prompt{
		title:  "End session " + session + " (" + about + ") with a Close frame",
		fields: []input{newInput("code: ", defaultCode), newInput("reason: ", defaultReason)},
		check: func(p *prompt) error {
			if p.at == 0 {
				_, err := admin.ParseCode(cmp.Or(p.trimmed(0), defaultCode))
				return err
			}
			return admin.CheckReason(p.trimmed(1))
		},
		question: func(p *prompt) string {
			return fmt.Sprintf("End session %s with %s %q? (y/n)", session, cmp.Or(p.trimmed(0), defaultCode), cmp.Or(p.trimmed(1), defaultReason))
		},
		done: func(m *model, p *prompt) {
			c := change{method: http.MethodDelete, path: admin.Path("sessions", session), parameters: make(url.Values),
				what: "session " + session, doing: "ending session " + session, done: "ended session " + session}
			for i, name := range []string{"code", "reason"} {
				if v := p.trimmed(i); v != "" {
					c.parameters.Set(name, v)
				}
			}
			m.change(c)
		},
	}
}

// askDrain asks whether an endpoint is really to be drained or, with on false, given work again.
func (m *model) askDrain(backend, endpoint string, on bool) {
	if m.readOnly() {
		return
	}
	name := endpoint + " of " + backend
	verb, question, doing, done := "drain", "Drain %s: no new work, and its sessions end over drain_time? (y/n)", "asking for a drain of ", "draining "
	if !on {
		verb, question, doing, done = "undrain", "Give %s work again? (y/n)", "giving work again: ", "given work again: "
	}
	m.prompt = &prompt{
		question: func(*prompt) string { return fmt.Sprintf(question, name) },
		done: func(m *model, _ *prompt) {
			m.change(change{
				method: http.MethodPost, path: admin.Path("backends", backend, "endpoints", endpoint, verb), what: name, doing: doing + name, done: done + name,
			})
		},
	}
}
