// Package history keeps what the gateway did in the last minutes.
package history

import (
	"context"
	"slices"
	"sync"
	"time"

	"sluice/internal/admin"
	"sluice/internal/telemetry/metrics"
)

const (
	step       = 5 * time.Second
	length     = 15 * time.Minute
	mostRoutes = 10_000 // that are remembered
	most       = int(length / step)
)

// History is what the gateway did in the last minutes, at equal steps. The zero value is ready.
type History struct {
	mu     sync.Mutex
	points []admin.HistoryPoint // the oldest first
	last   reading
}

// reading is what the counters say at one moment.
type reading struct {
	routes map[string]admin.Route
	totals metrics.Totals
}

// add adds what happened since the call before. The first call only notes where the counters are.
func (h *History) add(now time.Time, routes []admin.Route, totals metrics.Totals) {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := reading{routes: make(map[string]admin.Route, len(routes)), totals: totals}
	p := admin.HistoryPoint{
		Time:             now,
		HandshakesFailed: since(totals.HandshakesFailed, h.last.totals.HandshakesFailed),
		Requests:         since(totals.Requests, h.last.totals.Requests),
		RequestErrors:    since(totals.RequestErrors, h.last.totals.RequestErrors),
	}
	for _, r := range routes {
		was := h.last.routes[r.Route]
		next.routes[r.Route] = r
		p.Sessions += r.Open
		p.Opened += since(r.Sessions, was.Sessions)
		p.MessagesFromClient += since(r.FromClient.Messages, was.FromClient.Messages)
		p.MessagesFromBackend += since(r.FromBackend.Messages, was.FromBackend.Messages)
		p.BytesFromClient += since(r.FromClient.Bytes, was.FromClient.Bytes)
		p.BytesFromBackend += since(r.FromBackend.Bytes, was.FromBackend.Bytes)
	}
	for name, r := range h.last.routes { // one that is gone goes on from there when it comes back
		if _, ok := next.routes[name]; !ok && len(next.routes) < mostRoutes {
			next.routes[name] = r
		}
	}
	first := h.last.routes == nil
	h.last = next
	if first {
		return
	}
	if len(h.points) == most {
		h.points = slices.Delete(h.points, 0, 1)
	}
	h.points = append(h.points, p)
}

// since returns how far a counter has gone. One that is lower than before has begun again: it is one
// of so many that the one before was dropped.
func since(now, before uint64) uint64 {
	if now < before {
		return now
	}
	return now - before
}

// List returns the points so far.
func (h *History) List() admin.History {
	h.mu.Lock()
	defer h.mu.Unlock()
	return admin.History{IntervalSeconds: step.Seconds(), Points: slices.Clone(h.points)}
}

// Keep adds what the counters say at each step until ctx ends.
func (h *History) Keep(ctx context.Context, routes func() []admin.Route, totals func() metrics.Totals) {
	tick := time.NewTicker(step)
	defer tick.Stop()
	for {
		h.add(time.Now(), routes(), totals())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
