package backend

// A Status is an endpoint at one moment.
type Status struct {
	Backend, Endpoint  string
	State              string // up, down, ejected or draining
	Standby            bool   // up, but others get the work
	Sessions, Requests int
	Weight             float64
	Insecure           bool   // its certificate is not verified
	Detail             string // of the last probe, when that went wrong
}

// Status describes the endpoints, in the order in which they are used.
func (p *Pool) Status() []Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Status, len(p.current))
	for i, m := range p.current {
		s := Status{
			Backend: p.name, Endpoint: m.name, State: "up", Standby: m.up() && m.index < 0,
			Sessions: m.busy[Sessions], Requests: m.busy[Requests],
			Weight: m.weight, Insecure: m.insecure, Detail: m.detail,
		}
		switch {
		case m.draining():
			s.State = "draining"
		case !m.well:
			s.State = "down"
		case !m.ejected.IsZero():
			s.State = "ejected"
		}
		all[i] = s
	}
	return all
}
