package metrics

import "testing"

func TestTotalsAddUpAllRoutes(t *testing.T) {
	m := New("v")
	if got := m.Totals(); got != (Totals{}) {
		t.Errorf("nothing was counted: %+v", got)
	}
	for _, name := range []string{"a", "b"} {
		r := m.Route(name)
		for _, status := range []int{200, 304, 404, 499, 500, 503} {
			r.Request(status, 0, 0, 0, "")
		}
		r.Handshake(Accepted, 0, "")
		for _, h := range []HandshakeResult{BackendRefused, Malformed, NoRoom} {
			r.Handshake(h, 0, "")
		}
	}
	if got, want := m.Totals(), (Totals{Handshakes: 2, HandshakesFailed: 6, Requests: 12, RequestErrors: 4}); got != want {
		t.Errorf("Totals() = %+v, want %+v", got, want)
	}
}
