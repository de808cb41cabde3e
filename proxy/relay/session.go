package relay

import (
	"crypto/tls"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"sluice/internal/wire"
)

const (
	idleBuffer = 512      // bytes a waiting direction holds
	busyBuffer = 64 << 10 // bytes borrowed while data keeps coming
	onePiece   = 16 << 10 // bytes written at once: what a slow reader takes shows
)

// session is a Session that the portable engine runs. A goroutine a direction
// reads and writes on; frames of the gateway's own are written by goroutines
// that live for one frame, so that nobody waits for a slow reader.
type session struct {
	owner    any
	note     string
	conns    [2]net.Conn // by Side
	engine   *Portable
	finished chan struct{}  // closed when all is said or given up
	notices  sync.WaitGroup // writers of the gateway's own frames; added to with mu held, before closed

	mu      sync.Mutex
	changed sync.Cond // a direction that had to wait may go on
	core
	flow
	tie
	taken   [2]int64    // by Side: bytes that it had taken in all when the alarm was set, if something was written to it
	writing [2]int64    // by Side: moment since which it takes nothing of the bytes that are on their way to it; 0 while none are
	shut    [2]bool     // by Side: it was sent the end of the stream
	alerted [2]bool     // by Side: its TLS has ended with a fatal alert
	closed  bool        // nothing is written any more
	alarm   *time.Timer // calls tick; nil until there is something to wait for
	rings   int64       // the moment at which it does; 0 while it does not
	ended   int64       // moment at which all was said; 0 before
}

// run relays until all is said, reports, and closes the sockets.
func (s *session) run(fromClient, fromBackend []byte) {
	var both sync.WaitGroup
	both.Go(func() { s.pump(Client, fromClient) })
	both.Go(func() { s.pump(Backend, fromBackend) })
	s.mu.Lock()
	s.settle() // has the first alarm set
	s.mu.Unlock()
	<-s.finished
	s.engine.report(s)

	// The session is over; its sockets linger.
	both.Wait()
	s.mu.Lock()
	s.closed = true
	conns := [...]net.Conn{s.conn(Client), s.conn(Backend)}
	s.mu.Unlock()
	s.notices.Wait()
	for _, c := range conns {
		c.Close()
	}
	s.mu.Lock()
	s.alarm.Stop() // not before Close, which writes where there is TLS
	s.mu.Unlock()
	s.engine.leave(s)
}

// pump moves what comes from a side to the other one until the stream ends.
func (s *session) pump(from Side, early []byte) {
	var idle [idleBuffer]byte
	var busy *[]byte
	buf, dropped := idle[:], 0
	held, _ := s.relay(from, early)
	copy(buf, early[:held])
	for dropped <= lingerBytes {
		n, err := s.conns[from].Read(buf[held:s.room(from, len(buf))])
		full := held+n == len(buf)
		var over bool
		if held, over = s.relay(from, buf[:held+n]); over {
			dropped += n
		}
		if err != nil {
			s.lost(from, err)
			break
		}
		switch { // a buffer is borrowed only while more comes than the small one holds
		case full && busy == nil:
			busy = s.engine.buffers.Get().(*[]byte)
			copy(*busy, buf[:held])
			buf = *busy
		case !full && busy != nil:
			copy(idle[:], buf[:held])
			s.engine.buffers.Put(busy)
			buf, busy = idle[:], nil
		}
	}
	if busy != nil {
		s.engine.buffers.Put(busy)
	}
}

// relay judges the bytes in, which came from a side, and writes what goes on.
// It returns when the side may be read again. What has to wait for more bytes
// is moved to the start of in; its length is held. over tells that the session
// has nothing more to say.
func (s *session) relay(from Side, in []byte) (held int, over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest, to := in, from.other()
	for {
		for s.ended == 0 && (s.writing[to] != 0 || s.until(from) > s.engine.clock.now()) {
			s.settle()
			s.changed.Wait()
		}
		if len(rest) == 0 {
			break
		}
		now := s.engine.clock.now()
		out, used := s.feed(from, rest, now)
		if used == 0 && s.until(from) <= now {
			break
		}
		rest = rest[used:]
		if len(out) == 0 {
			s.settle()
			continue
		}
		s.writing[to] = now
		s.settle()
		s.write(to, out)
	}
	return copy(in, rest), s.over()
}

// write writes b to a side that is marked as being written to. It is called
// with the lock held and gives it back while it waits.
func (s *session) write(to Side, b []byte) {
	for len(b) > 0 {
		n := min(len(b), onePiece)
		s.mu.Unlock()
		_, err := s.conns[to].Write(b[:n])
		s.mu.Lock()
		if err != nil {
			s.unwritable(to, err)
			break
		}
		b = b[n:]
		s.writing[to] = s.engine.clock.now()
	}
	s.writing[to] = 0
	s.settle()
	s.changed.Broadcast()
}

// notify writes b, or the end of the stream when it is nil, to a side in a
// goroutine of its own. It is called with the lock held.
func (s *session) notify(to Side, b []byte) {
	if s.closed {
		return
	}
	s.writing[to] = s.engine.clock.now()
	conn := s.conn(to)
	s.notices.Go(func() {
		if b == nil {
			wire.CloseWrite(conn)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.write(to, b)
	})
}

// settle does what the last change of the core has made possible. It is called
// with the lock held and does not wait.
func (s *session) settle() {
	now := s.engine.clock.now()
	if s.closing() {
		s.await(now)
		s.changed.Broadcast() // no rate holds a side now
	}
	for side := range s.writing {
		if s.writing[side] != 0 {
			continue
		}
		if b := s.next(Side(side), nil, now); b != nil {
			s.notify(Side(side), b)
		}
	}
	if s.ended == 0 && s.over() && s.writing == [2]int64{} {
		s.finish(now, lingerTime)
	}
	for side := range s.shut {
		if s.ended != 0 && s.writing[side] == 0 && !s.shut[side] && s.hangsUp(Side(side)) {
			s.shut[side] = true
			s.notify(Side(side), nil)
		}
	}
	s.wake(now)
}

// wake has tick called when something is due. It is called with the lock held.
func (s *session) wake(now int64) {
	when := s.deadline
	if s.ended == 0 {
		when = s.due(now, s.writing, [2]int64{})
	}
	if when == 0 || s.rings != 0 && s.rings <= when {
		return // it is called early enough
	}
	s.rings = when
	for side := range s.writing {
		if s.writing[side] != 0 {
			s.taken[side] = s.hasTaken(Side(side))
		}
	}
	if left := time.Duration(max(when-now, 1)); s.alarm == nil {
		s.alarm = time.AfterFunc(left, s.ring)
	} else {
		s.alarm.Reset(left)
	}
}

// ring does what is due.
func (s *session) ring() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.engine.clock.now()
	s.rings = 0
	switch {
	case s.ended == 0:
		s.progress(now)
		if s.tick(now, s.writing, [2]int64{}) {
			s.finish(now, lingerTime)
		}
		s.settle()
	case s.deadline <= now:
		s.drop()
		return
	}
	s.wake(now)
	s.changed.Broadcast()
}

// hasTaken returns how many bytes a side has taken in all, as its system tells; 0
// where nothing does.
func (s *session) hasTaken(side Side) int64 {
	if below := wire.Of(s.conns[side]); below != nil {
		taken, _, _ := below.TCPProgress()
		return taken
	}
	return 0
}

// progress notes that sides have taken something, since the alarm was set, of the
// piece that is written to them.
func (s *session) progress(now int64) {
	for side := range s.writing {
		if s.writing[side] != 0 && s.hasTaken(Side(side)) != s.taken[side] {
			s.writing[side] = now
		}
	}
}

// finish leaves both sides a while to close their end. It is called with the
// lock held.
func (s *session) finish(now int64, linger time.Duration) {
	if s.ended == 0 {
		s.ended = now
		close(s.finished)
	}
	s.deadline = now + int64(linger)
	s.changed.Broadcast()
}

// drop closes the sockets, whoever waits for them. It does so below TLS, whose
// own end of the stream waits up to 5 seconds for a peer that does not read.
func (s *session) drop() {
	for _, c := range s.conns {
		if below := wire.Of(c); below != nil {
			c = below
		}
		c.Close()
	}
}

// lost tells that nothing more comes from a side.
func (s *session) lost(side Side, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alerted[side] = wire.IsFatalAlert(err)
	s.core.lost(side, err)
	s.settle()
}

// conn returns the connection to close for a side: behind a fatal alert the one
// below TLS, which would say close_notify. It is called with the lock held.
func (s *session) conn(side Side) net.Conn {
	if t, ok := s.conns[side].(*tls.Conn); ok && s.alerted[side] {
		return t.NetConn()
	}
	return s.conns[side]
}

// end ends the session for a cause of the gateway's own, at a random moment
// within spread.
func (s *session) end(cause Cause, spread time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if spread > 0 {
		s.plan(cause, s.engine.clock.now()+int64(rand.N(spread)))
	} else {
		s.core.end(cause, Gateway)
	}
	s.settle()
}

// review has the session held to the rules of its group as they are now.
func (s *session) review() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.core.review()
	s.settle()
	s.changed.Broadcast()
}

// cut ends the session at once, or its lingering; who can be told still is.
func (s *session) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.core.end(Shutdown, Gateway)
	s.settle()
	s.expire()
	s.settle()
	s.finish(s.engine.clock.now(), cutTime)
	s.rings = 0
	s.settle()
}

// look returns what there is to see of the session.
func (s *session) look() View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view(s.owner, s.engine.clock)
}
