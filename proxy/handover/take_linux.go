//go:build !portable

package handover

import (
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"sluice/internal/codec"
	"sluice/proxy/listen"
	"sluice/proxy/serve"
)

// A Successor takes over the sessions of another process. Have and Settled are those of [takeover.Taker].
type Successor struct {
	Server   *serve.Server
	Listener func(name string) *listen.Listener // nil if there is none
	Log      func() *zerolog.Logger

	batch []arrival
	taken int
}

// arrival is a session that was read.
type arrival struct {
	*serve.Moved
	client, backend int // descriptors
}

// Taken returns how many sessions were taken over.
func (s *Successor) Taken() int { return s.taken }

// Have reads a session.
func (s *Successor) Have(c *codec.Coder, files []int) bool {
	if len(files) != 2 {
		return false
	}
	m, err := s.Server.ReadSession(c, s.Listener)
	if err != nil {
		s.Log().Warn().Err(err).Msg("a session of the process before cannot go on here, and ends there")
		return false
	}
	s.batch = append(s.batch, arrival{m, files[0], files[1]})
	return true
}

// Settled makes the sessions of a batch run, or forgets them.
func (s *Successor) Settled(ours bool) {
	for _, a := range s.batch {
		switch {
		case !ours:
			a.Wipe()
		case a.Run(a.client, a.backend):
			s.taken++
		default: // its endpoint has gone at this moment, or the gateway has stopped
			a.Wipe()
			unix.Close(a.client)
			unix.Close(a.backend)
		}
	}
	s.batch = nil
}
