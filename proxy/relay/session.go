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

// portableSession is a Session that the portable engine runs. A goroutine a direction
// reads and writes on; frames of the gateway's own are written by goroutines
// that live for one frame, so that nobody waits for a slow reader.
type portableSession struct {
	owner     any
	note      string
	conns     [2]net.Conn // by Side
	engine    *Portable
	concluded chan struct{}  // closed when all is said or given up
	ownWrites sync.WaitGroup // writers of the gateway's own frames; added to with mu held, before closed

	mu      sync.Mutex
	changed sync.Cond // a direction that had to wait may go on
	core
	state
	stateRefs
	acked        [2]int64    // by Side: bytes that it had taken in all when the alarm was set, if something was written to it
	writingSince [2]int64    // by Side: moment since which it takes nothing of the bytes that are on their way to it; 0 while none are
	writeClosed  [2]bool     // by Side: it was sent the end of the stream
	alerted      [2]bool     // by Side: its TLS has ended with a fatal alert
	closed       bool        // nothing is written any more
	timer        *time.Timer // calls tick; nil until there is something to wait for
	timerAt      int64       // the moment at which it does; 0 while it does not
	endedAt      int64       // moment at which all was said; 0 before
}

// run relays until all is said, reports, and closes the sockets.
func (s *portableSession) run(fromClient, fromBackend []byte) {
	var both sync.WaitGroup
	both.Go(func() { s.pump(Client, fromClient) })
	both.Go(func() { s.pump(Backend, fromBackend) })
	s.mu.Lock()
	s.advance() // has the first alarm set
	s.mu.Unlock()
	<-s.concluded
	s.engine.report(s)

	// The session is over; its sockets linger.
	both.Wait()
	s.mu.Lock()
	s.closed = true
	conns := [...]net.Conn{s.connToClose(Client), s.connToClose(Backend)}
	s.mu.Unlock()
	s.ownWrites.Wait()
	for _, c := range conns {
		c.Close()
	}
	s.mu.Lock()
	s.timer.Stop() // not before Close, which writes where there is TLS
	s.mu.Unlock()
	s.engine.remove(s)
}

// pump moves what comes from a side to the other one until the stream ends.
func (s *portableSession) pump(from Side, early []byte) {
	var idle [idleBuffer]byte
	var busy *[]byte
	buf, dropped := idle[:], 0
	held, _ := s.forward(from, early)
	copy(buf, early[:held])
	for dropped <= lingerBytes {
		n, err := s.conns[from].Read(buf[held:s.readSize(from, len(buf))])
		full := held+n == len(buf)
		var over bool
		if held, over = s.forward(from, buf[:held+n]); over {
			dropped += n
		}
		if err != nil {
			s.readEnded(from, err)
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

// forward judges the bytes in, which came from a side, and writes what goes on.
// It returns when the side may be read again. What has to wait for more bytes
// is moved to the start of in; its length is held. over tells that the session
// has nothing more to say.
func (s *portableSession) forward(from Side, in []byte) (held int, over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest, to := in, from.other()
	for {
		for s.endedAt == 0 && (s.writingSince[to] != 0 || s.until(from) > s.engine.clock.now()) {
			s.advance()
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
			s.advance()
			continue
		}
		s.writingSince[to] = now
		s.advance()
		s.write(to, out)
	}
	return copy(in, rest), s.over()
}

// write writes b to a side that is marked as being written to. It is called
// with the lock held and gives it back while it waits.
func (s *portableSession) write(to Side, b []byte) {
	for len(b) > 0 {
		n := min(len(b), onePiece)
		s.mu.Unlock()
		_, err := s.conns[to].Write(b[:n])
		s.mu.Lock()
		if err != nil {
			s.writeFailed(to, err)
			break
		}
		b = b[n:]
		s.writingSince[to] = s.engine.clock.now()
	}
	s.writingSince[to] = 0
	s.advance()
	s.changed.Broadcast()
}

// writeOwn writes b, or the end of the stream when it is nil, to a side in a
// goroutine of its own. It is called with the lock held.
func (s *portableSession) writeOwn(to Side, b []byte) {
	if s.closed {
		return
	}
	s.writingSince[to] = s.engine.clock.now()
	conn := s.connToClose(to)
	s.ownWrites.Go(func() {
		if b == nil {
			wire.CloseWrite(conn)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.write(to, b)
	})
}

// advance does what the last change of the core has made possible. It is called
// with the lock held and does not wait.
func (s *portableSession) advance() {
	now := s.engine.clock.now()
	if s.closing() {
		s.awaitAnswers(now)
		s.changed.Broadcast() // no rate holds a side now
	}
	for side := range s.writingSince {
		if s.writingSince[side] != 0 {
			continue
		}
		if b := s.appendOwn(Side(side), nil, now); b != nil {
			s.writeOwn(Side(side), b)
		}
	}
	if s.endedAt == 0 && s.over() && s.writingSince == [2]int64{} {
		s.linger(now, lingerTime)
	}
	for side := range s.writeClosed {
		if s.endedAt != 0 && s.writingSince[side] == 0 && !s.writeClosed[side] && s.closesFirst(Side(side)) {
			s.writeClosed[side] = true
			s.writeOwn(Side(side), nil)
		}
	}
	s.setTimer(now)
}

// setTimer has tick called when something is due. It is called with the lock held.
func (s *portableSession) setTimer(now int64) {
	when := s.deadline
	if s.endedAt == 0 {
		when = s.nextDue(now, s.writingSince, [2]int64{})
	}
	if when == 0 || s.timerAt != 0 && s.timerAt <= when {
		return // it is called early enough
	}
	s.timerAt = when
	for side := range s.writingSince {
		if s.writingSince[side] != 0 {
			s.acked[side] = s.ackedBytes(Side(side))
		}
	}
	if left := time.Duration(max(when-now, 1)); s.timer == nil {
		s.timer = time.AfterFunc(left, s.fire)
	} else {
		s.timer.Reset(left)
	}
}

// fire does what is due.
func (s *portableSession) fire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.engine.clock.now()
	s.timerAt = 0
	switch {
	case s.endedAt == 0:
		s.noteProgress(now)
		if s.tick(now, s.writingSince, [2]int64{}) {
			s.linger(now, lingerTime)
		}
		s.advance()
	case s.deadline <= now:
		s.closeConns()
		return
	}
	s.setTimer(now)
	s.changed.Broadcast()
}

// ackedBytes returns how many bytes a side has taken in all, as its system tells; 0
// where nothing does.
func (s *portableSession) ackedBytes(side Side) int64 {
	if below := wire.Of(s.conns[side]); below != nil {
		taken, _, _ := below.Acknowledged()
		return taken
	}
	return 0
}

// noteProgress notes that sides have taken something, since the alarm was set, of the
// piece that is written to them.
func (s *portableSession) noteProgress(now int64) {
	for side := range s.writingSince {
		if s.writingSince[side] != 0 && s.ackedBytes(Side(side)) != s.acked[side] {
			s.writingSince[side] = now
		}
	}
}

// linger leaves both sides a while to close their end. It is called with the
// lock held.
func (s *portableSession) linger(now int64, linger time.Duration) {
	if s.endedAt == 0 {
		s.endedAt = now
		close(s.concluded)
	}
	s.deadline = now + int64(linger)
	s.changed.Broadcast()
}

// closeConns closes the sockets, whoever waits for them. It does so below TLS, whose
// own end of the stream waits up to 5 seconds for a peer that does not read.
func (s *portableSession) closeConns() {
	for _, c := range s.conns {
		if below := wire.Of(c); below != nil {
			c = below
		}
		c.Close()
	}
}

// readEnded tells that nothing more comes from a side.
func (s *portableSession) readEnded(side Side, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alerted[side] = wire.Alerted(err)
	s.core.readEnded(side, err)
	s.advance()
}

// connToClose returns the connection to close for a side: behind a fatal alert the one
// below TLS, which would say close_notify. It is called with the lock held.
func (s *portableSession) connToClose(side Side) net.Conn {
	if t, ok := s.conns[side].(*tls.Conn); ok && s.alerted[side] {
		return t.NetConn()
	}
	return s.conns[side]
}

// endWithin ends the session for a cause of the gateway's own, at a random moment
// within spread.
func (s *portableSession) endWithin(cause Cause, spread time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if spread > 0 {
		s.planEnd(cause, s.engine.clock.now()+int64(rand.N(spread)))
	} else {
		s.core.end(cause, Gateway)
	}
	s.advance()
}

// resetRates has the session held to the rules of its group as they are now.
func (s *portableSession) resetRates() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.core.resetRates()
	s.advance()
	s.changed.Broadcast()
}

// abort ends the session at once, or its lingering; who can be told still is.
func (s *portableSession) abort() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.core.end(Shutdown, Gateway)
	s.advance()
	s.expire()
	s.advance()
	s.linger(s.engine.clock.now(), cutTime)
	s.timerAt = 0
	s.advance()
}

// currentView returns what there is to see of the session.
func (s *portableSession) currentView() View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view(s.owner, s.engine.clock)
}
