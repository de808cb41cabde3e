package outline

import (
	"fmt"
	"strings"
	"testing"
)

func TestFate(t *testing.T) {
	o := &Outline{
		Routes:   map[string][]string{"chat": {"app"}, "both": {"app", "spare"}, "page": {}, "moved": {"spare"}},
		Backends: map[string]map[string]bool{"app": {"a:1": false, "b:1": true}, "spare": {"s:1": false, "b:1": false}, "unused": {"u:1": false}},
	}
	tests := []struct {
		name    string
		session Session
		fate    Fate
		why     string
	}{
		{"nothing changes", Session{"chat", "app", "a:1"}, Stays, ""},
		{"one of several backends", Session{"both", "spare", "s:1"}, Stays, ""},
		{"a backend has another name", Session{"chat", "old", "a:1"}, Stays, ""},
		{"the route moves to a backend with the endpoint", Session{"both", "unused", "s:1"}, Stays, ""},
		{"the route is gone", Session{"old", "app", "a:1"}, RouteRemoved, "route old removed"},
		{"the route answers itself", Session{"page", "app", "a:1"}, RouteRemoved, "route page has no backend any more"},
		{"the backend is gone", Session{"chat", "old", "o:1"}, BackendRemoved, "backend old removed"},
		{"the endpoint is gone", Session{"chat", "app", "c:1"}, BackendRemoved, "endpoint c:1 of backend app removed"},
		{"the route has another backend", Session{"moved", "app", "a:1"}, BackendRemoved, "route moved has backend app no more"},
		{"the endpoint drains", Session{"chat", "app", "b:1"}, Drains, "endpoint b:1 of backend app drains"},
		{"it does not drain in this backend", Session{"both", "spare", "b:1"}, Stays, ""},
		{"the endpoint drains, and the route is gone", Session{"old", "app", "b:1"}, RouteRemoved, "route old removed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := o.Fate(tt.session)
			if got != tt.fate {
				t.Fatalf("Fate(%+v) = %d; want %d", tt.session, got, tt.fate)
			}
			if got == Stays {
				return
			}
			if why := o.why(tt.session, got); why != tt.why {
				t.Errorf("why(%+v) = %q; want %q", tt.session, why, tt.why)
			}
		})
	}
}

func TestReport(t *testing.T) {
	o := &Outline{Routes: map[string][]string{"chat": {"app"}}, Backends: map[string]map[string]bool{"app": {"a:1": false, "b:1": true}}}
	stays, drains, gone := Session{"chat", "app", "a:1"}, Session{"chat", "app", "b:1"}, Session{"old", "app", "a:1"}
	type sessions struct {
		n int
		Session
		State
	}
	var many []sessions
	for i := range 12 {
		many = append(many, sessions{12 - i, Session{fmt.Sprintf("r%02d", i), "app", "a:1"}, Open})
	}
	tests := []struct {
		name     string
		sessions []sessions
		want     string
	}{
		{"none", nil, "kept 0 sessions; ending 0"},
		{"one stays", []sessions{{1, stays, Open}}, "kept 1 session; ending 0"},
		{"one reason", []sessions{{812, stays, Open}, {3, gone, Open}}, "kept 812 sessions; ending 3: route old removed"},
		{"two reasons", []sessions{{1, drains, Open}, {2, gone, Open}}, "kept 0 sessions; ending 3: route old removed (2), endpoint b:1 of backend app drains (1)"},
		{"those that end already", []sessions{{1, stays, Ending}, {1, gone, Ending}, {5, stays, Open}}, "kept 5 sessions; ending 0; 2 ending already"},
		{"those that drain already", []sessions{{1, drains, Draining}, {2, gone, Draining}, {1, stays, Draining}}, "kept 0 sessions; ending 2: route old removed; 2 ending already"},
		{"many reasons", many, "kept 0 sessions; ending 78: route r00 removed (12), route r01 removed (11), route r02 removed (10), route r03 removed (9), route r04 removed (8), " +
			"route r05 removed (7), route r06 removed (6), route r07 removed (5), route r08 removed (4), route r09 removed (3), and 2 more reasons"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, all := NewCount(o), 0
			for _, s := range tt.sessions {
				all += s.n
				for range s.n {
					c.Add(s.Session, s.State)
				}
			}
			r := c.Report()
			if r.Text != tt.want {
				t.Errorf("Report().Text = %q; want %q", r.Text, tt.want)
			}
			sum := 0
			for _, e := range r.Ending {
				sum += e.Sessions
			}
			if r.Kept+r.Ended+r.Before != all || sum != r.Ended {
				t.Errorf("Report() = %+v; want %d sessions, and those of Ending to be those of Ended", r, all)
			}
		})
	}
}

// What a client of the admin interface sends never ends in a panic, and each session is counted once.
func FuzzReport(f *testing.F) {
	f.Add("chat", "app", "a:1", "chat", "app", "a:1", true)
	f.Fuzz(func(t *testing.T, route, backend, endpoint, hasRoute, hasBackend, hasEndpoint string, drains bool) {
		o := &Outline{Routes: map[string][]string{hasRoute: {hasBackend}}, Backends: map[string]map[string]bool{hasBackend: {hasEndpoint: drains}}}
		c := NewCount(o)
		for state := Open; state <= Ending; state++ {
			c.Add(Session{route, backend, endpoint}, state)
		}
		r := c.Report()
		if r.Kept+r.Ended+r.Before != 3 || strings.Count(r.Text, "kept") == 0 {
			t.Errorf("Report() = %+v; want three sessions", r)
		}
	})
}
