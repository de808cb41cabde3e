//go:build linux && !portable

package http1

import (
	"bytes"
	"io"

	"golang.org/x/sys/unix"

	"sluice/internal/h1"
	"sluice/proxy/clientio"
)

// turnsAtOnce is how many pieces are read for one connection before others get their turn.
const turnsAtOnce = 8

// sending is the body of a request that a loop forwards.
type sending struct {
	frame   h1.Body
	chunked bool
	done    bool  // all of it was sent, or waits in the endpoint's connection
	broken  bool  // the endpoint takes no more of it
	stuck   bool  // what the connection has ahead needs more bytes after it
	read    int64 // bytes of it
	limit   int64 // of read; 0 means none

	waiting bool             // for the client
	account clientio.Account // how long the client may still be waited for
	lookAt  int64            // the moment for the next look at the wait; 0 means none
}

// start begins a body of that length.
func (s *sending) start(length, limit int64) {
	*s = sending{chunked: length == h1.Chunks, limit: limit, account: clientio.NewAccount()}
	s.frame.Start(length)
	s.done = s.frame.Done()
}

// over reports whether nothing more of the body is sent.
func (s *sending) over() bool { return s.done || s.broken }

// next returns what in has of the body, as it is for the endpoint, and how many bytes of in it has
// used. What it returns is a part of in, or lies in the loop's memory.
func (l *loopConns) next(f *forwarding, in []byte) (out []byte, used int, err error) {
	s := &f.request
	b := l.chunks[:0]
	for used < len(in) && !s.frame.Done() {
		data, n, refusal := s.frame.Next(in[used:])
		if refusal != nil {
			return nil, used, refusal
		}
		used += n
		if s.read += int64(len(data)); s.limit > 0 && s.read > s.limit {
			return nil, used, ErrTooLarge
		}
		switch {
		case len(data) == 0:
		case s.chunked:
			b = appendChunkSize(b, len(data))
			b = append(append(b, data...), "\r\n"...)
		default:
			out = data // all of it comes at once
		}
		if n == 0 {
			break
		}
	}
	s.stuck = used == 0 && len(in) > 0
	s.done = s.frame.Done()
	if !s.chunked {
		return out, used, nil
	}
	if s.done {
		b = append(b, "0\r\n"...)
		if len(s.frame.Trailer) > 0 {
			f.x.EditRequestTrailer(&s.frame.Trailer)
			b = s.frame.Trailer.Append(b)
		}
		b = append(b, "\r\n"...)
	}
	l.chunks = b
	return b, used, nil
}

// sendBody passes on what comes of a request's body, as long as the endpoint takes it.
func (l *loopConns) sendBody(c *conn) {
	f := c.forward
	s := &f.request
	p, _, _ := l.slots.At(c.slot)
	for turn := 0; !s.over() && !f.up.connecting && len(f.up.out) == 0; turn++ {
		in := c.ahead
		if len(in) == 0 || s.stuck {
			if turn == turnsAtOnce {
				l.Again(&p.Entry, 0, unix.EPOLLIN)
				return
			}
			var ok bool
			if in, ok = l.readBody(p, c); !ok {
				return
			}
		}
		out, used, err := l.next(f, in)
		if err != nil {
			l.refuseBody(c, err)
			return
		}
		c.keep(in[used:])
		f.since = l.Now()
		if l.upstreams.send(f.up, out, nil); c.forward != f {
			return
		}
	}
	s.endWait(l.Now()) // if anything is waited for, it is the endpoint
	l.setTimer(p, c)
}

// keep keeps in, which was read and not used.
func (c *conn) keep(in []byte) {
	if len(in) == 0 {
		c.ahead = nil
		return
	}
	c.ahead = bytes.Clone(in)
}

// readBody reads more behind what the connection has ahead. It is false if there is nothing
// to read, and then waits, or if the exchange is over.
func (l *loopConns) readBody(p *slot, c *conn) (in []byte, ok bool) {
	f := c.forward
	if !p.readable {
		l.awaitBody(p, c)
		return nil, false
	}
	kept := copy(l.Buffer[:], c.ahead)
	more, err := l.recv(p, c, kept, answerPiece)
	switch {
	case err == unix.EAGAIN:
		l.awaitBody(p, c)
		return nil, false
	case err != nil:
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		l.clientLeft(c, err)
		return nil, false
	}
	f.request.endWait(l.Now())
	return l.Buffer[:kept+len(more)], true
}

// awaitBody waits for the client, which has sent nothing more. From the beginning of the
// answer on it may be silent.
func (l *loopConns) awaitBody(p *slot, c *conn) {
	f := c.forward
	s := &f.request
	if !s.waiting && f.status == 0 && f.x.MinRate() > 0 {
		s.waiting = true
		s.account.Begin(l.Now(), f.x.MinRate(), c.Received)
		s.lookAt = l.Now() + int64(s.account.Left())
	}
	l.setTimer(p, c)
}

// endWait ends the wait for the client.
func (s *sending) endWait(now int64) {
	if s.waiting {
		s.waiting, s.lookAt = false, 0
		s.account.End(now)
	}
}

// chargeBody looks at the wait for the client, which may have taken too long.
func (l *loopConns) chargeBody(p *slot, c *conn) {
	f := c.forward
	s := &f.request
	wait := s.account.Look(l.Now(), f.x.MinRate(), c.Received)
	if wait == 0 {
		l.refuseBody(c, clientio.ErrSlow)
		return
	}
	s.lookAt = l.Now() + int64(wait)
	l.setTimer(p, c)
}

// refuseBody ends the exchange because of what is wrong with the request's body: a goroutine
// answers, unless the answer has begun.
func (l *loopConns) refuseBody(c *conn, err error) {
	f := c.forward
	if f.status != 0 {
		l.clientLeft(c, err)
		return
	}
	l.failForward(c, err, Receiving)
}
