//go:build !portable

package handover

import (
	"fmt"

	"golang.org/x/sys/unix"

	"sluice/internal/codec"
	"sluice/proxy/listen"
	"sluice/proxy/serve"
)

// A Successor takes over the sessions of another process, and its idle connections. Have and Settled are those of
// [takeover.Taker].
type Successor struct {
	Server *serve.Server
	Counts func(listener string) *listen.Listener // counts the connections of a listener, which may not be open
	Open   func(listener string) *listen.Listener // nil if it is not open

	batch       []arrival
	sessions    int
	connections int
	refused     map[string]int // sessions, by reason
}

// An arrival is what was read: a session or an idle connection.
type arrival interface {
	// run runs it with its sockets, which it owns. It closes it if the gateway has stopped.
	run(*Successor)
	drop()
}

// Taken returns how many sessions and how many idle connections were taken over.
func (s *Successor) Taken() (sessions, connections int) { return s.sessions, s.connections }

// Refused returns how many sessions were not, by reason. They end in the other process.
func (s *Successor) Refused() map[string]int { return s.refused }

// mostReasons is how many reasons are told apart.
const mostReasons = 100

func (s *Successor) refuse(reason string) {
	if s.refused == nil {
		s.refused = make(map[string]int)
	}
	if _, known := s.refused[reason]; !known && len(s.refused) >= mostReasons {
		reason = "other reasons"
	}
	s.refused[reason]++
}

// Have reads a session or a connection. A panic is no reason to lose the others.
func (s *Successor) Have(c *codec.Coder, files []int) (ok bool) {
	defer func() {
		if cause := recover(); cause != nil {
			s.refuse(fmt.Sprintf("panic: %v", cause))
			ok = false
		}
	}()
	var k kind
	codec.Number(c, &k)
	switch {
	case k == ofConnection && len(files) == 1:
		return s.haveConnection(c, files[0])
	case k == ofSession && len(files) == 2:
		return s.haveSession(c, files[0], files[1])
	}
	s.refuse("it is of no kind that this version knows")
	return false
}

func (s *Successor) haveSession(c *codec.Coder, client, backend int) bool {
	m, err := s.Server.ReadSession(c, s.Counts)
	if err != nil {
		s.refuse(err.Error())
		return false
	}
	s.batch = append(s.batch, session{m, client, backend})
	return true
}

// haveConnection reads an idle connection. One that cannot go on here ends in the other process, as it might at any time.
func (s *Successor) haveConnection(c *codec.Coder, socket int) (ok bool) {
	m := new(listen.Moved)
	defer func() { // after a panic too
		if !ok {
			m.Wipe()
		}
	}()
	m.Carry(c)
	l := s.Open(m.Listener())
	if c.End() != nil || l == nil || !m.Fits(l) {
		return false
	}
	s.batch = append(s.batch, connection{m, l, socket})
	return true
}

// Settled makes what a batch has run, or forgets it.
func (s *Successor) Settled(ours bool) {
	for _, a := range s.batch {
		if ours {
			a.run(s)
		} else {
			a.drop()
		}
	}
	s.batch = nil
}

// session is a session that was read.
type session struct {
	*serve.Moved
	client, backend int // descriptors
}

func (a session) run(s *Successor) {
	if a.Run(a.client, a.backend) {
		s.sessions++
		return
	}
	a.Drop()
	unix.Close(a.client)
	unix.Close(a.backend)
}

func (a session) drop() { a.Drop() }

// connection is an idle connection that was read.
type connection struct {
	*listen.Moved
	listener *listen.Listener
	socket   int // a descriptor
}

func (a connection) run(s *Successor) {
	if a.Run(a.listener, a.socket) {
		s.connections++
	}
}

func (a connection) drop() { a.Wipe() }
