package history

import (
	"testing"
	"time"

	"sluice/internal/admin"
	"sluice/internal/telemetry/metrics"
)

func TestTheHistorySaysWhatHappenedBetweenTwoReadings(t *testing.T) {
	route := func(name string, open int64, n uint64) admin.Route {
		return admin.Route{
			Route: name, Open: open, Sessions: n,
			FromClient: admin.Traffic{Messages: 10 * n, Bytes: 100 * n}, FromBackend: admin.Traffic{Messages: 20 * n, Bytes: 200 * n},
		}
	}
	steps := []struct {
		name   string
		routes []admin.Route
		totals metrics.Totals
		want   admin.HistoryPoint // the last one, without its time
	}{
		{"the first reading", []admin.Route{route("a", 1, 5)}, metrics.Totals{Requests: 7, RequestErrors: 3, HandshakesFailed: 2}, admin.HistoryPoint{}},
		{
			"a second one", []admin.Route{route("a", 2, 7)}, metrics.Totals{Requests: 9, RequestErrors: 4, HandshakesFailed: 5},
			admin.HistoryPoint{Sessions: 2, Opened: 2, HandshakesFailed: 3, MessagesFromClient: 20, MessagesFromBackend: 40, BytesFromClient: 200, BytesFromBackend: 400, Requests: 2, RequestErrors: 1},
		},
		{
			"a new route", []admin.Route{route("a", 2, 7), route("b", 1, 1)}, metrics.Totals{Requests: 9, RequestErrors: 4, HandshakesFailed: 5},
			admin.HistoryPoint{Sessions: 3, Opened: 1, MessagesFromClient: 10, MessagesFromBackend: 20, BytesFromClient: 100, BytesFromBackend: 200},
		},
		{"a route that is gone", []admin.Route{route("b", 1, 1)}, metrics.Totals{Requests: 9, RequestErrors: 4, HandshakesFailed: 5}, admin.HistoryPoint{Sessions: 1}},
		{
			"a route that begins again", []admin.Route{route("b", 0, 0), route("a", 1, 1)}, metrics.Totals{Requests: 9, RequestErrors: 4, HandshakesFailed: 5},
			admin.HistoryPoint{Sessions: 1, Opened: 1, MessagesFromClient: 10, MessagesFromBackend: 20, BytesFromClient: 100, BytesFromBackend: 200},
		},
	}
	var h History
	begin := time.Unix(1e9, 0)
	for i, s := range steps {
		h.add(begin.Add(time.Duration(i)*step), s.routes, s.totals)
		points := h.List().Points
		if len(points) != i {
			t.Fatalf("after %s: %d points, want %d", s.name, len(points), i)
		}
		if i == 0 {
			continue
		}
		got := points[i-1]
		got.Time = time.Time{}
		if got != s.want {
			t.Errorf("after %s: %+v, want %+v", s.name, got, s.want)
		}
	}
}

func TestTheHistoryIsBounded(t *testing.T) {
	var h History
	begin := time.Unix(1e9, 0)
	for i := range 3 * most {
		h.add(begin.Add(time.Duration(i)*step), []admin.Route{}, metrics.Totals{})
	}
	all := h.List()
	if len(all.Points) != most || all.IntervalSeconds != 5 {
		t.Fatalf("%d points, %v s apart, want %d", len(all.Points), all.IntervalSeconds, most)
	}
	if got, want := all.Points[most-1].Time.Sub(all.Points[0].Time), length-step; got != want {
		t.Errorf("the points span %v, want %v", got, want)
	}
}
