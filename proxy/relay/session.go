package relay

import (
	"net"
	"sync"
	"time"

	"sluice/internal/wire"
)

const (
	closeTimeout = 5 * time.Second        // for the answer to a Close frame
	lingerTime   = 2 * time.Second        // for the peer to close its end, once all is said
	cutTime      = 200 * time.Millisecond // the same when the engine stops
	lingerBytes  = 1 << 20                // read and dropped meanwhile
	idleBuffer   = 512                    // bytes a waiting direction holds
	busyBuffer   = 32 << 10               // bytes borrowed while data keeps coming
)

// session is a Session that the portable engine runs. A goroutine a direction
// reads and writes on; Close frames of the gateway's own are written by
// goroutines that live for one frame, so that nobody waits for a slow reader.
type session struct {
	Session
	engine   *Portable
	finished chan struct{}  // closed when all is said or given up
	notices  sync.WaitGroup // writers of Close frames; added to with mu held, before closed

	mu       sync.Mutex
	core     core
	writing  [2]bool       // by Side: bytes are on their way to it
	shut     [2]bool       // by Side: it was sent the end of the stream
	closed   bool          // nothing is written any more
	timer    *time.Timer   // of the wait for answers, then of the lingering; nil while the session is open
	duration time.Duration // 0 until finished
}

func (s *session) conn(side Side) net.Conn {
	if side == Client {
		return s.Client.Conn
	}
	return s.Backend.Conn
}

// run relays until all is said, reports, and closes the sockets.
func (s *session) run() {
	fromClient, fromBackend := s.Client.Early, s.Backend.Early
	s.Client.Early, s.Backend.Early = nil, nil
	var both sync.WaitGroup
	both.Go(func() { s.pump(Client, fromClient) })
	both.Go(func() { s.pump(Backend, fromBackend) })
	<-s.finished
	s.engine.report(s)

	// The session is over; its sockets linger.
	both.Wait()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.notices.Wait()
	s.Client.Conn.Close()
	s.Backend.Conn.Close()
	s.mu.Lock()
	s.timer.Stop() // not before Close, which writes where there is TLS
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
		n, err := s.conn(from).Read(buf[held:])
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
// What has to wait for more bytes is moved to the start of in; its length is
// held. over tells that the session has nothing more to say.
func (s *session) relay(from Side, in []byte) (held int, over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest, to := in, from.other()
	for len(rest) > 0 {
		out, used := s.core.feed(from, rest)
		if used == 0 {
			break
		}
		rest = rest[used:]
		if len(out) == 0 {
			s.settle()
			continue
		}
		s.writing[to] = true
		s.settle()
		s.write(to, out)
	}
	return copy(in, rest), s.core.over()
}

// write writes b to a side that is marked as being written to. It is called
// with the lock held and gives it back while it waits.
func (s *session) write(to Side, b []byte) {
	s.mu.Unlock()
	_, err := s.conn(to).Write(b)
	s.mu.Lock()
	s.writing[to] = false
	if err != nil {
		s.core.unwritable(to, err)
	}
	s.settle()
}

// notify writes b, or the end of the stream when it is nil, to a side in a
// goroutine of its own. It is called with the lock held.
func (s *session) notify(to Side, b []byte) {
	if s.closed {
		return
	}
	s.writing[to] = true
	s.notices.Go(func() {
		if b == nil {
			wire.CloseWrite(s.conn(to))
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
	if s.core.closing() && s.timer == nil {
		s.timer = time.AfterFunc(closeTimeout, s.expire)
	}
	for side := range s.writing {
		if s.writing[side] {
			continue
		}
		if b := s.core.next(Side(side)); b != nil {
			s.notify(Side(side), b)
		}
	}
	if s.duration == 0 && s.core.over() && !s.writing[Client] && !s.writing[Backend] {
		s.finish(lingerTime)
	}
	for side := range s.shut {
		if s.duration != 0 && !s.writing[side] && !s.shut[side] && s.core.hangsUp(Side(side)) {
			s.shut[side] = true
			s.notify(Side(side), nil)
		}
	}
}

// finish leaves both sides a while to close their end. It is called with the
// lock held.
func (s *session) finish(linger time.Duration) {
	if s.duration == 0 {
		s.duration = max(time.Since(s.Meta.Opened), 1)
		close(s.finished)
	}
	s.timer.Stop()
	s.timer = time.AfterFunc(linger, s.drop)
}

// drop closes the sockets, whoever waits for them. It does so below TLS, whose
// own end of the stream waits up to 5 seconds for a peer that does not read.
func (s *session) drop() {
	for _, c := range [...]net.Conn{s.Client.Conn, s.Backend.Conn} {
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
	s.core.lost(side, err)
	s.settle()
}

// end ends the session for a cause of the gateway's own.
func (s *session) end(cause Cause) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.core.end(cause)
	s.settle()
}

// expire gives up waiting for answers.
func (s *session) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.duration == 0 {
		s.giveUp(lingerTime)
	}
}

// cut ends the session at once, or its lingering; who can be told still is.
func (s *session) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.core.end(Shutdown)
	s.settle()
	s.giveUp(cutTime)
}

// giveUp is called with the lock held.
func (s *session) giveUp(linger time.Duration) {
	s.core.expire()
	s.settle()
	s.finish(linger)
	s.settle()
}

func (s *session) view() View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return View{
		ID: s.ID, Group: s.Group, Meta: s.Meta,
		FromClient:  s.core.ends[Client].dir.Counts,
		FromBackend: s.core.ends[Backend].dir.Counts,
	}
}
