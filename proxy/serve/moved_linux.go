//go:build !portable

package serve

import (
	"errors"
	"fmt"
	"net/netip"

	"sluice/internal/codec"
	"sluice/internal/telemetry"
	"sluice/proxy/backend"
	"sluice/proxy/listen"
	"sluice/proxy/relay"
)

// A Moved is a session that another process has had. What it has of the configuration is in it by name.
type Moved struct {
	session    relay.Carried
	route      string // identity
	backend    string
	endpoint   string
	configured string // the endpoint's name in the configuration
	listener   string // name; "" if the client's connection is counted elsewhere
	client     netip.Addr

	// What a session that was read has taken already.
	server *Server
	snap   *Snapshot
	group  *relay.Group
	refs   *sessionRefs
	who    netip.Addr
}

// mostName is how long a name may be, in bytes.
const mostName = 64 << 10

// carryNames writes down, or reads, what is not the engine's.
func (m *Moved) carryNames(c *codec.Coder) {
	for _, name := range [...]*string{&m.route, &m.backend, &m.endpoint, &m.configured, &m.listener} {
		c.Text(name, mostName)
	}
	c.Addr(&m.client)
}

// StopSessions stops some sessions, to let them go on in another process, and calls add with what writes each down, and with the
// descriptors of its sockets: see [relay.Engine.StopSome].
func (s *Server) StopSessions(add func(carry func(*codec.Coder), client, backend int) (taken, more bool)) *relay.Stopped {
	return s.engine.StopSome(func(o relay.Offer) (taken, more bool) {
		refs := o.View.Owner.(*sessionRefs)
		m := Moved{route: o.View.Group.Name, backend: refs.lease.Backend(), endpoint: refs.lease.Endpoint(), configured: refs.lease.Configured()}
		m.listener, m.client = refs.permit.Of()
		return add(func(c *codec.Coder) {
			m.carryNames(c)
			o.Carry(c)
		}, o.Client, o.Backend)
	})
}

// ReadSession reads a session that another process has written down, and takes what it needs to run: [Moved.Run] or [Moved.Drop]
// has to follow. It fails if the session cannot go on under the configuration in force. Listener returns the listener of a name.
func (s *Server) ReadSession(c *codec.Coder, listener func(name string) *listen.Listener) (*Moved, error) {
	m := &Moved{server: s, snap: s.Current()}
	taken := false
	defer func() { // after a panic too
		if !taken {
			m.session.Wipe()
		}
	}()
	m.carryNames(c)
	m.session.Carry(c)
	if err := c.End(); err != nil {
		return nil, err
	}
	if err := m.take(listener); err != nil {
		return nil, err
	}
	taken = true
	return m, nil
}

// take takes what the session has of the configuration.
func (m *Moved) take(listener func(name string) *listen.Listener) error {
	s := m.server
	if s.Stopping.Err() != nil {
		return errors.New("this process stops")
	}
	service := m.snap.Services[m.route]
	if service == nil {
		return fmt.Errorf("there is no route %s", m.route)
	}
	lease := service.resume(m.backend, m.endpoint, m.configured)
	if lease == nil {
		return fmt.Errorf("route %s has no endpoint %s of backend %s", m.route, m.endpoint, m.backend)
	}
	m.group, m.refs = service.Group, &sessionRefs{lease: lease, count: service.Admission.Count}
	if m.listener != "" {
		m.refs.permit = listener(m.listener).Resume(m.client)
	}
	m.who = telemetry.Packed(m.session.Note()).Session().Client
	s.sessions.Add(1)
	m.refs.count.resume(m.who)
	return nil
}

// resume returns a lease of an endpoint of one of the service's backends, of the one of that name if that has it; nil if none has.
func (s *Service) resume(name, endpoint, configured string) *backend.Lease {
	for _, same := range [...]bool{true, false} { // a backend may have another name now
		for _, t := range s.Targets {
			if same == (t.Pool.Name() == name) {
				if l := t.Pool.Resume(endpoint, configured); l != nil {
					return l
				}
			}
		}
	}
	return nil
}

// Run makes the session one of the server's, with the descriptors of its sockets, which it owns from now on. If the engine has
// ended it does nothing, and reports that.
func (m *Moved) Run(client, backend int) (runs bool) {
	s := m.server
	if !s.engine.Adopt(&m.session, m.group, m.refs, client, backend) {
		return false
	}
	s.endIfLate(m.session.ID(), m.route, m.refs.lease, m.snap, m.session.Planned())
	return true
}

// Drop gives back what a session has taken that does not run, and drops its secrets.
func (m *Moved) Drop() {
	m.server.giveBack(m.refs, m.who)
	m.refs.permit.Release()
	m.session.Wipe()
}
