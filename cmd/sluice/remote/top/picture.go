package top

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"sluice/cmd/sluice/remote/show"
	"sluice/internal/admin"
)

// mostSessions is how many sessions are asked for, the first ones in the order of the table.
const mostSessions = 1000

// query is what is asked of the gateway in one look.
type query struct {
	view   int
	filter *filter // of the sessions
	order  string  // of the sessions, as the interface calls it
}

// look is what the gateway has answered to a query. What the query did not ask for is empty.
type look struct {
	query
	at time.Time // when it was begun

	// What was answered, and when.
	status     admin.Status
	statusAt   time.Time
	routes     []admin.Route
	routesAt   time.Time
	backends   []admin.Backend
	backendsAt time.Time
	sessions   []admin.Session
	sessionsAt time.Time
}

// clock returns what the clock of the gateway was at a moment. The operator's may be another.
func (l *look) clock(at time.Time) time.Time {
	up := time.Duration(l.status.UptimeSeconds * float64(time.Second))
	return l.status.Started.Add(up + at.Sub(l.statusAt))
}

// asker is the part of [admin.Client] that is used here. Tests have another one, without sockets: their
// time is that of testing/synctest.
type asker interface {
	Do(ctx context.Context, method, path string, parameters url.Values, to any) (status int, err error)
	Tap(ctx context.Context, session string, how url.Values, each func(admin.TapLine) error) error
}

// take asks the gateway. The status is that of the answer that is an error, or 0 if none came.
func take(ctx context.Context, a asker, q query) (l look, status int, err error) {
	l.query, l.at = q, time.Now()
	get := func(path string, parameters url.Values, to any, at *time.Time) {
		if err == nil {
			status, err = a.Do(ctx, http.MethodGet, path, parameters, to)
			*at = time.Now()
		}
	}
	get("/status", nil, &l.status, &l.statusAt)
	get("/routes", nil, &l.routes, &l.routesAt)
	switch q.view {
	case backendsView:
		get("/backends", nil, &l.backends, &l.backendsAt)
	case sessionsView:
		parameters := q.filter.parameters()
		parameters.Set("limit", strconv.Itoa(mostSessions))
		if q.order != "" {
			parameters.Set("sort", q.order)
		}
		get("/sessions", parameters, &l.sessions, &l.sessionsAt)
	}
	return l, status, err
}

// picture is what is known of the gateway: the last look, and what its difference to the one before
// says.
type picture struct {
	look
	paces paces
}

// paces is how fast counters went between two looks.
type paces struct {
	known    bool // there were two looks at the same process
	total    pace
	requests float64 // a second
	busy     float64 // share of the time in which loops worked
	busiest  float64 // of the loop for which it is the largest
	routes   map[string]pace
	sessions map[string]pace
}

// pace is what clients and backends send in a second.
type pace struct {
	known           bool
	client, backend flow
}

type flow struct{ messages, bytes float64 }

func (f *flow) add(other flow) {
	f.messages += other.messages
	f.bytes += other.bytes
}

// bytes returns the bytes of both in a second.
func (p pace) bytes() float64 { return p.client.bytes + p.backend.bytes }

// bytesOf and messagesOf write one of the flows of a pace, if it is known.
func (p pace) bytesOf(f flow) cell {
	if !p.known {
		return cell{text: "-", number: -1}
	}
	return cell{text: show.Bytes(uint64(f.bytes + 0.5)), number: f.bytes}
}

func (p pace) messagesOf(f flow) cell {
	if !p.known {
		return cell{text: "-", number: -1}
	}
	return cell{text: perSecond(f.messages), number: f.messages}
}

// perSecond writes a rate.
func perSecond(f float64) string {
	if f > 0 && f < 10 {
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return strconv.FormatFloat(f, 'f', 0, 64)
}

// next returns the picture after a look. What the look did not ask for stays as it was.
func (p *picture) next(l look) *picture {
	n := &picture{look: l}
	if p == nil {
		return n
	}
	if l.view != sessionsView {
		n.sessions, n.sessionsAt, n.paces.sessions = p.sessions, p.sessionsAt, p.paces.sessions
	}
	if l.view != backendsView {
		n.backends, n.backendsAt = p.backends, p.backendsAt
	}
	if !l.status.Started.Equal(p.status.Started) { // another process counts from 0
		return n
	}
	n.paces.since(p, n)
	return n
}

// since compares two pictures of one process.
func (t *paces) since(before, now *picture) {
	seconds := now.status.UptimeSeconds - before.status.UptimeSeconds
	if seconds <= 0 {
		return
	}
	t.known = true
	t.requests = grown(now.status.Answered, before.status.Answered, seconds)
	was := make(map[int]float64)
	for _, l := range before.status.Loops {
		was[l.Number] = l.BusySeconds
	}
	for _, l := range now.status.Loops {
		share := min(1, max(0, (l.BusySeconds-was[l.Number])/seconds))
		t.busy += share / float64(len(now.status.Loops))
		t.busiest = max(t.busiest, share)
	}
	t.total.known = true
	t.routes = make(map[string]pace)
	routes := make(map[string]admin.Route)
	for _, r := range before.routes {
		routes[r.Route] = r
	}
	for _, r := range now.routes {
		old, ok := routes[r.Route]
		if !ok { // it may have come back with the counts that it had
			continue
		}
		one := paceOf(r.FromClient, r.FromBackend, old.FromClient, old.FromBackend, now.routesAt.Sub(before.routesAt).Seconds())
		t.routes[r.Route] = one
		t.total.client.add(one.client)
		t.total.backend.add(one.backend)
	}
	if now.view == sessionsView {
		t.sessions = sessionPaces(before, now)
	}
}

// sessionPaces returns the paces of the sessions that are in both pictures.
func sessionPaces(before, now *picture) map[string]pace {
	old := make(map[string]*admin.Session, len(before.sessions))
	for i := range before.sessions {
		old[before.sessions[i].Session] = &before.sessions[i]
	}
	all := make(map[string]pace, len(now.sessions))
	for i := range now.sessions {
		s := &now.sessions[i]
		if was := old[s.Session]; was != nil {
			all[s.Session] = paceOf(s.FromClient, s.FromBackend, was.FromClient, was.FromBackend, now.sessionsAt.Sub(before.sessionsAt).Seconds())
		}
	}
	return all
}

func paceOf(client, backend, oldClient, oldBackend admin.Traffic, seconds float64) (p pace) {
	if seconds <= 0 {
		return p
	}
	p.known = true
	p.client = flow{grown(client.Messages, oldClient.Messages, seconds), grown(client.Bytes, oldClient.Bytes, seconds)}
	p.backend = flow{grown(backend.Messages, oldBackend.Messages, seconds), grown(backend.Bytes, oldBackend.Bytes, seconds)}
	return p
}

// grown returns by how much a counter grew in a second. One that is less than before has begun again.
func grown(now, before uint64, seconds float64) float64 {
	if now < before {
		return 0
	}
	return float64(now-before) / seconds
}
