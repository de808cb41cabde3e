//go:build !portable

package serve

import (
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
	session  relay.Carried
	route    string // identity
	backend  string
	endpoint string
	listener string // name; "" if the client's connection is counted elsewhere
	client   netip.Addr

	server  *Server
	service *Service
	pool    *backend.Pool
	from    *listen.Listener
}

// mostName is how long a name may be, in bytes.
const mostName = 64 << 10

// carryNames writes down, or reads, what is not the engine's.
func (m *Moved) carryNames(c *codec.Coder) {
	for _, name := range [...]*string{&m.route, &m.backend, &m.endpoint, &m.listener} {
		c.Text(name, mostName)
	}
	text := ""
	if m.client.IsValid() {
		text = m.client.String()
	}
	if c.Text(&text, mostName); c.Reading() && text != "" {
		var err error
		if m.client, err = netip.ParseAddr(text); err != nil {
			c.Fail(err)
		}
	}
}

// StopSessions stops some sessions, to let them go on in another process, and calls add with what writes each down, and with the
// descriptors of its sockets: see [relay.Engine.StopSome].
func (s *Server) StopSessions(add func(carry func(*codec.Coder), client, backend int) (taken, more bool)) *relay.Stopped {
	return s.engine.StopSome(func(o relay.Offer) (taken, more bool) {
		refs := o.View.Owner.(*sessionRefs)
		m := Moved{route: o.View.Group.Name, backend: refs.lease.Backend(), endpoint: refs.lease.Endpoint()}
		m.listener, m.client = refs.permit.Of()
		return add(func(c *codec.Coder) {
			m.carryNames(c)
			o.Carry(c)
		}, o.Client, o.Backend)
	})
}

// ReadSession reads a session that another process has written down. It fails if the session cannot go on under the configuration in
// force. Listener returns the listener of a name, nil if there is none.
func (s *Server) ReadSession(c *codec.Coder, listener func(name string) *listen.Listener) (*Moved, error) {
	m := &Moved{server: s}
	m.carryNames(c)
	m.session.Carry(c)
	if err := c.End(); err != nil {
		m.Wipe()
		return nil, err
	}
	err := m.find(s.Current(), listener)
	if err != nil {
		m.Wipe()
		return nil, err
	}
	return m, nil
}

// find looks up what the session has by name.
func (m *Moved) find(now *Snapshot, listener func(name string) *listen.Listener) error {
	if m.service = now.Services[m.route]; m.service == nil {
		return fmt.Errorf("there is no route %s", m.route)
	}
	for _, t := range m.service.Targets { // it may have another name now
		if t.Pool.Has(m.endpoint) && (m.pool == nil || t.Pool.Name() == m.backend) {
			m.pool = t.Pool
		}
	}
	if m.pool == nil {
		return fmt.Errorf("route %s has no endpoint %s of backend %s", m.route, m.endpoint, m.backend)
	}
	if m.listener != "" {
		if m.from = listener(m.listener); m.from == nil {
			return fmt.Errorf("there is no listener %s", m.listener)
		}
	}
	return nil
}

// Run makes the session one of the server's, with the descriptors of its sockets, which it owns from now on. It reports
// whether the engine has taken it.
func (m *Moved) Run(client, backend int) bool {
	lease := m.pool.Resume(m.endpoint)
	if lease == nil {
		return false
	}
	refs := &sessionRefs{lease: lease, count: m.service.Admission.Count}
	if m.from != nil {
		refs.permit = m.from.Resume(m.client)
	}
	who := telemetry.Packed(m.session.Note()).Session().Client
	m.server.sessions.Add(1)
	refs.count.resume(who)
	if m.server.engine.Adopt(&m.session, m.service.Group, refs, client, backend) {
		return true
	}
	m.server.giveBack(refs, who)
	refs.permit.Release()
	return false
}

// Wipe drops the secrets of a session that does not run.
func (m *Moved) Wipe() { m.session.Wipe() }
