package portable

import (
	"net"
	"sync"
	"time"

	"sluice/internal/wire"
	"sluice/proxy/relay/core"
)

const (
	idleBuffer = 512      // bytes that a silent direction holds
	busyBuffer = 64 << 10 // bytes borrowed while data keeps coming
	onePiece   = 16 << 10 // bytes written at once, so that it shows what a slow reader takes
)

// session is a session of the engine. One goroutine for each direction reads from one side
// and writes to the other one. The gateway's own frames are written by goroutines that
// live for one frame, so that the session does not wait for a slow reader.
type session struct {
	owner     any
	note      string
	conns     [2]net.Conn // by Side
	engine    *Engine
	concluded chan struct{}  // closed when the session is over or not waited for any more; it is finished next
	ownWrites sync.WaitGroup // writers of the gateway's own frames; added to with mu held, before writesEnded

	mu      sync.Mutex
	changed sync.Cond // a direction that had to wait may be able to go on
	core.Core
	state        core.State
	refs         core.Refs
	part         core.Part // what is not among totals yet
	totals       *groupTotals
	acked        [2]int64    // by Side: bytes that it had taken in all when the timer was set, if something was written to it
	writingSince [2]int64    // by Side: the moment since which it takes nothing of the bytes that are on their way to it; 0 while none are
	writeClosed  [2]bool     // by Side: it was sent the end of the stream
	alerted      [2]bool     // by Side: its TLS has ended with a fatal alert
	writesEnded  bool        // nothing is written any more
	closed       bool        // the connections are closed, and no method of theirs is called any more
	timer        *time.Timer // calls fire; nil until there is something to wait for
	timerAt      int64       // the moment at which it does; 0 while it is not set
	endedAt      int64       // the moment at which the session was concluded; 0 before
}

// run relays until the session is concluded, reports it, and closes the connections.
func (s *session) run(fromClient, fromBackend []byte) {
	var both sync.WaitGroup
	both.Go(func() { s.pump(core.Client, fromClient) })
	both.Go(func() { s.pump(core.Backend, fromBackend) })
	s.setFirstTimer()
	<-s.concluded
	s.engine.report(s)

	// The session is over; its connections linger.
	both.Wait()
	s.mu.Lock()
	s.writesEnded = true
	conns := [...]net.Conn{s.connToClose(core.Client), s.connToClose(core.Backend)}
	s.mu.Unlock()
	s.ownWrites.Wait()
	for _, c := range conns {
		s.close(c)
	}
	s.mu.Lock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop() // not before Close, which writes where there is TLS
	}
	s.mu.Unlock()
	s.engine.remove(s)
}

func (s *session) setFirstTimer() {
	s.mu.Lock()
	defer s.leave(core.Gateway)
	s.advance()
}

// close closes a connection of the session, whose goroutines have ended.
func (s *session) close(c net.Conn) {
	defer s.guard()
	c.Close()
}

// pump moves what comes from a side to the other one until the stream ends.
func (s *session) pump(from core.Side, early []byte) {
	defer s.guard()
	var idle [idleBuffer]byte
	var busy *[]byte
	buf, dropped := idle[:], 0
	held, _ := s.forward(from, early)
	copy(buf, early[:held])
	for dropped <= core.LingerBytes {
		n, err := s.conns[from].Read(buf[held:s.ReadSize(from, len(buf))])
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

// forward applies the rules to in, bytes of a side, and writes what goes on. It returns
// when the side may be read again. It moves what has to wait for more bytes to the start
// of in; held is its length. Over reports that the session has nothing more to say.
func (s *session) forward(from core.Side, in []byte) (held int, over bool) {
	rest, to := in, from.Other()
	s.mu.Lock()
	defer s.leave(to)
	for {
		for s.endedAt == 0 && (s.writingSince[to] != 0 || s.Until(from) > s.engine.clock.Now()) {
			s.advance()
			s.changed.Wait()
		}
		if s.Failed() {
			return 0, true
		}
		if len(rest) == 0 {
			break
		}
		now := s.engine.clock.Now()
		out, used := s.Feed(from, rest, now)
		s.count()
		if used == 0 && !s.Delayed(from, now) {
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
	return copy(in, rest), s.Over()
}

// count moves what the session has done to the totals of its group. It is called with the lock held.
func (s *session) count() {
	if s.part.Totals != (core.Totals{}) {
		s.totals.add(&s.part.Totals)
		s.part.Totals = core.Totals{}
	}
}

// write writes b to a side for which writingSince is set. It is called with the lock held,
// and unlocks while it waits.
func (s *session) write(to core.Side, b []byte) {
	for len(b) > 0 {
		n := min(len(b), onePiece)
		if err := s.writeUnlocked(to, b[:n]); err != nil {
			s.WriteFailed(to, err)
			break
		}
		b = b[n:]
		s.writingSince[to] = s.engine.clock.Now()
	}
	s.writingSince[to] = 0
	s.advance()
	s.changed.Broadcast()
}

// writeUnlocked writes b to a side without the lock, which its caller holds.
func (s *session) writeUnlocked(to core.Side, b []byte) error {
	s.mu.Unlock()
	defer s.mu.Lock()
	_, err := s.conns[to].Write(b)
	return err
}

// writeOwn writes b, or the end of the stream if b is nil, to a side in a goroutine of its
// own. It is called with the lock held.
func (s *session) writeOwn(to core.Side, b []byte) {
	if s.writesEnded {
		return
	}
	s.writingSince[to] = s.engine.clock.Now()
	conn := s.connToClose(to)
	s.ownWrites.Go(func() {
		if b == nil {
			defer s.guard()
			wire.CloseWrite(conn)
			return
		}
		s.mu.Lock()
		defer s.leave(to)
		s.write(to, b)
	})
}

// readEnded notes that nothing more comes from a side.
func (s *session) readEnded(side core.Side, err error) {
	s.mu.Lock()
	defer s.leave(core.Gateway)
	s.alerted[side] = wire.IsFatalAlert(err)
	s.ReadEnded(side, err)
	s.advance()
}

// connToClose returns the connection to close for a side. After a fatal alert that is the
// connection below TLS, because TLS would send close_notify. It is called with the lock
// held.
func (s *session) connToClose(side core.Side) net.Conn {
	if t, ok := s.conns[side].(interface{ NetConn() net.Conn }); ok && s.alerted[side] {
		return t.NetConn()
	}
	return s.conns[side]
}
