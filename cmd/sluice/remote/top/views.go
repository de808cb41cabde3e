package top

import (
	"strconv"
	"strings"
	"time"

	"sluice/cmd/sluice/remote/show"
	"sluice/internal/admin"
)

// What can be shown in the table.
const (
	sessionsView = iota
	backendsView
	routesView
	views
)

// field is a column, and what fills it.
type field[T any] struct {
	column
	cell func(*T) cell
}

func columnsOf[T any](fields []field[T]) (all []column) {
	for _, f := range fields {
		all = append(all, f.column)
	}
	return all
}

func cellsOf[T any](fields []field[T], of *T) (all []cell) {
	for _, f := range fields {
		all = append(all, f.cell(of))
	}
	return all
}

func text(s string) cell { return cell{text: s} }

func count[N int | int64 | uint64](n N) cell {
	return cell{text: strconv.FormatInt(int64(n), 10), number: float64(n)}
}

func since(now, then time.Time) cell {
	d := now.Sub(then)
	return cell{text: show.Age(d), number: d.Seconds()}
}

func bytes(n uint64) cell { return cell{text: show.Bytes(n), number: float64(n)} }

// seenSession is a session in a picture.
type seenSession struct {
	admin.Session
	pace pace
	at   time.Time
}

func sessionFields() []field[seenSession] {
	return []field[seenSession]{
		{column{title: "SESSION", rank: 1}, func(s *seenSession) cell { return text(s.Session.Session) }},
		{column{title: "CLIENT", rank: 2, most: 39, order: "client"}, func(s *seenSession) cell { return text(s.Client) }},
		{column{title: "ROUTE", rank: 5, most: 24, order: "route"}, func(s *seenSession) cell { return text(s.Route) }},
		{column{title: "ENDPOINT", rank: 10, most: 40, order: "endpoint"}, func(s *seenSession) cell { return text(s.Endpoint) }},
		{column{title: "AGE", rank: 6, number: true, least: 6, order: "opened", turned: true}, func(s *seenSession) cell { return since(s.at, s.Opened) }},
		{column{title: "IDLE", rank: 7, number: true, least: 6, order: "last", turned: true}, func(s *seenSession) cell { return since(s.at, s.Last) }},
		{column{title: "IN/S", rank: 3, number: true, least: 9, order: "bytes"}, func(s *seenSession) cell { return s.pace.bytesOf(s.pace.client) }},
		{column{title: "OUT/S", rank: 4, number: true, least: 9, order: "bytes"}, func(s *seenSession) cell { return s.pace.bytesOf(s.pace.backend) }},
		{column{title: "MSG IN/S", rank: 11, number: true, order: "rate"}, func(s *seenSession) cell { return s.pace.messagesOf(s.pace.client) }},
		{column{title: "MSG OUT/S", rank: 12, number: true, order: "rate"}, func(s *seenSession) cell { return s.pace.messagesOf(s.pace.backend) }},
		{column{title: "BYTES", rank: 9, number: true, least: 9, order: "bytes"}, func(s *seenSession) cell { return bytes(s.Bytes()) }},
		{column{title: "ENDING", rank: 8, most: 20, optional: true}, func(s *seenSession) cell { return text(s.Ending) }},
		{column{title: "PATH", rank: 13, most: 60}, func(s *seenSession) cell { return text(s.URI) }},
	}
}

func sessionRows(p *picture) []row {
	fields, now := sessionFields(), p.clock(p.sessionsAt)
	rows := make([]row, len(p.sessions))
	for i := range p.sessions {
		s := &seenSession{p.sessions[i], p.paces.sessions[p.sessions[i].Session], now}
		rows[i] = row{name: s.Session.Session, cells: cellsOf(fields, s), busy: s.pace.bytes(), dim: s.Ending != ""}
	}
	return rows
}

// seenEndpoint is an endpoint in a picture.
type seenEndpoint struct {
	admin.Endpoint
	backend string
	queued  int
	at      time.Time
}

func endpointFields() []field[seenEndpoint] {
	return []field[seenEndpoint]{
		{column{title: "BACKEND", rank: 3, most: 30}, func(e *seenEndpoint) cell { return text(e.backend) }},
		{column{title: "ENDPOINT", rank: 1, most: 50}, func(e *seenEndpoint) cell { return text(e.Endpoint.Endpoint) }},
		{column{title: "STATE", rank: 2}, func(e *seenEndpoint) cell { return text(show.State(&e.Endpoint)) }},
		{column{title: "FOR", rank: 7, number: true}, func(e *seenEndpoint) cell {
			if e.Since == nil {
				return text("-")
			}
			return since(e.at, *e.Since)
		}},
		{column{title: "SESSIONS", rank: 4, number: true}, func(e *seenEndpoint) cell { return count(e.Sessions) }},
		{column{title: "REQUESTS", rank: 5, number: true}, func(e *seenEndpoint) cell { return count(e.Requests) }},
		{column{title: "QUEUED", rank: 10, number: true}, func(e *seenEndpoint) cell { return count(e.queued) }},
		{column{title: "SERVED", rank: 9, number: true}, func(e *seenEndpoint) cell { return count(e.Served) }},
		{column{title: "FAILED", rank: 8, number: true}, func(e *seenEndpoint) cell { return count(e.Failed) }},
		{column{title: "EJECTED", rank: 11, number: true}, func(e *seenEndpoint) cell { return count(e.Ejections) }},
		{column{title: "ERROR", rank: 6, most: 60, optional: true}, func(e *seenEndpoint) cell { return text(e.Error) }},
	}
}

func endpointRows(p *picture) (rows []row) {
	fields, now := endpointFields(), p.clock(p.backendsAt)
	for _, b := range p.backends {
		for _, e := range b.Endpoints {
			seen := &seenEndpoint{e, b.Backend, b.Queued, now}
			rows = append(rows, row{
				name: endpointName(b.Backend, e.Endpoint), cells: cellsOf(fields, seen), dim: e.State == "draining", bad: e.State == "down" || e.State == "ejected",
			})
		}
		if len(b.Endpoints) == 0 {
			none := &seenEndpoint{admin.Endpoint{State: "no address"}, b.Backend, b.Queued, now}
			rows = append(rows, row{name: endpointName(b.Backend, ""), cells: cellsOf(fields, none), bad: true})
		}
	}
	return rows
}

// endpointName is the name of the row of an endpoint; endpointOf is the way back.
func endpointName(backend, endpoint string) string { return backend + "\n" + endpoint }

func endpointOf(name string) (backend, endpoint string) {
	backend, endpoint, _ = strings.Cut(name, "\n")
	return backend, endpoint
}

// seenRoute is a route in a picture.
type seenRoute struct {
	admin.Route
	pace pace
}

func routeFields() []field[seenRoute] {
	return []field[seenRoute]{
		{column{title: "ROUTE", rank: 1, most: 40}, func(r *seenRoute) cell { return text(r.Route.Route) }},
		{column{title: "BACKENDS", rank: 8, most: 40}, func(r *seenRoute) cell { return text(strings.Join(r.Backends, ", ")) }},
		{column{title: "OPEN", rank: 2, number: true}, func(r *seenRoute) cell { return count(r.Open) }},
		{column{title: "LIMIT", rank: 7, number: true}, func(r *seenRoute) cell {
			if r.Limit == 0 {
				return text("-")
			}
			return count(r.Limit)
		}},
		{column{title: "SESSIONS", rank: 9, number: true}, func(r *seenRoute) cell { return count(r.Sessions) }},
		{column{title: "IN/S", rank: 3, number: true, least: 9}, func(r *seenRoute) cell { return r.pace.bytesOf(r.pace.client) }},
		{column{title: "OUT/S", rank: 4, number: true, least: 9}, func(r *seenRoute) cell { return r.pace.bytesOf(r.pace.backend) }},
		{column{title: "MSG IN/S", rank: 5, number: true}, func(r *seenRoute) cell { return r.pace.messagesOf(r.pace.client) }},
		{column{title: "MSG OUT/S", rank: 6, number: true}, func(r *seenRoute) cell { return r.pace.messagesOf(r.pace.backend) }},
		{column{title: "BYTES", rank: 10, number: true, least: 9}, func(r *seenRoute) cell { return bytes(r.FromClient.Bytes + r.FromBackend.Bytes) }},
	}
}

func routeRows(p *picture) []row {
	fields := routeFields()
	rows := make([]row, len(p.routes))
	for i, r := range p.routes {
		seen := &seenRoute{r, p.paces.routes[r.Route]}
		rows[i] = row{name: r.Route, cells: cellsOf(fields, seen), busy: seen.pace.bytes()}
	}
	return rows
}

// newTables returns the tables of all views, empty.
func newTables() [views]*table {
	sessions := &table{columns: columnsOf(sessionFields())}
	for sessions.columns[sessions.sort].title != "OUT/S" { // the busiest first
		sessions.sort++
	}
	return [views]*table{
		sessionsView: sessions,
		backendsView: {columns: columnsOf(endpointFields())},
		routesView:   {columns: columnsOf(routeFields())},
	}
}
