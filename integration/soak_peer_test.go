package integration

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// parting is how long the other end of a vanished peer tries to write.
const parting = time.Second

// ownCodes are the close codes of the peers, which say which one closed.
var ownCodes = [...]ws.StatusCode{client: 4001, backend: 4002}

// tally is what went in one direction as its sender or its reader counts it. A sender counts a
// frame when it begins with it. It has no Close frames, and no pings of the gateway with their
// answers.
type tally struct{ messages, frames, controls, bytes int }

// peer is one end of a session in a soak. Its writer never waits for its reader, nor the
// reader for the writer: two peers that both had to write before they read could wait for each
// other for ever.
type peer struct {
	side   side
	conn   net.Conn
	in     *bufio.Reader
	out    *bufio.Writer
	fate   fate
	said   *said
	says   *script
	hears  *script
	random *rand.Rand    // for what the other end need not know
	pause  time.Duration // before a message, at most

	over           <-chan struct{} // closed when it is time to end
	left, deserted chan struct{}   // closed when this peer, or the other one, vanishes

	sent, heard tally
	code        ws.StatusCode // of the Close frame that came; 0 before

	mu    sync.Mutex
	pongs [][]byte // to be sent
	ended bool     // a Close frame has come, or the end of the stream
	wake  chan struct{}
}

// fault is an error that the end of a connection does not explain.
type fault string

func (f fault) Error() string { return string(f) }

// run plays the session until this end has sent and read everything. The caller closes the
// connection of a vanished peer, run that of all others. An error is a [fault], or what ended
// the connection before a Close frame came.
func (p *peer) run() (vanished bool, err error) {
	if err := p.conn.SetDeadline(time.Now().Add(wstest.LongGuard)); err != nil {
		return false, err
	}
	var both sync.WaitGroup
	done := make(chan struct{})
	both.Go(func() {
		select {
		case <-p.deserted: // the other end no longer reads
			_ = p.conn.SetWriteDeadline(time.Now().Add(parting))
		case <-done:
		}
	})
	both.Go(func() {
		defer close(done)
		err = p.hear()
		p.tell(func() { p.ended = true })
	})
	if vanished = p.speak(); vanished {
		_ = p.conn.SetReadDeadline(time.Now())
		close(p.left)
	}
	both.Wait()
	switch {
	case vanished && errors.Is(err, os.ErrDeadlineExceeded):
		return true, nil
	case vanished:
		return true, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fault(fmt.Sprintf("neither a Close frame nor the end of the connection came within %v", wstest.LongGuard))
	case err == nil:
		err = p.part()
	}
	p.conn.Close()
	return vanished, err
}

// part waits for the end of the connection behind the Close frames. The
// backend's end is the first to end its stream (RFC 6455, section 7.1.1).
func (p *peer) part() error {
	if p.side == backend {
		_ = p.closeWrite() // the gateway may be gone
	}
	n, err := io.Copy(io.Discard, p.in)
	switch {
	case n > 0:
		return fault(fmt.Sprintf("%d bytes came behind the Close frame", n))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fault("the connection was not closed behind the Close frame")
	}
	return nil
}

// tell changes something with f and wakes the writer.
func (p *peer) tell(f func()) {
	p.mu.Lock()
	f()
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// speak sends the script and, when it is time, what ends the session. It returns when there is
// nothing more to send.
func (p *peer) speak() (vanishing bool) {
	mine := p.fate.side == p.side
	var over <-chan struct{} // of the other end's fate, that one takes care
	if mine {
		over = p.over
	}
	var pause <-chan time.Time
	for n := 0; ; {
		p.mu.Lock()
		pongs, ended := p.pongs, p.ended
		p.pongs = nil
		p.mu.Unlock()
		switch {
		case ended:
			if p.code != 0 {
				_ = p.close(p.code) // the other end may be gone
			}
			return false
		case isClosed(p.deserted):
			if p.close(ownCodes[p.side]) != nil {
				p.reset()
			}
			return false
		case mine && (n >= p.fate.after || isClosed(p.over)):
			return p.end()
		}
		for _, b := range pongs {
			if string(b) == peerPing {
				p.sent.controls++
			}
			if p.write(ws.OpPong, true, b) != nil {
				return p.cut()
			}
		}
		if pause == nil && !p.says.inside && p.random.IntN(2) == 0 {
			pause = time.After(time.Duration(p.random.Int64N(int64(p.pause))))
		}
		if pause != nil {
			select {
			case <-pause:
				pause = nil
			case <-p.wake:
				continue
			case <-over:
				continue
			case <-p.deserted:
				continue
			}
		}
		l, ok := p.says.next()
		switch {
		case ok:
			p.sent.add(l)
			if p.write(l.op, l.fin, p.said.of(l)) != nil {
				return p.cut()
			}
			n++
		case mine:
			n = p.fate.after
		default:
			select {
			case <-p.wake:
			case <-p.deserted:
			}
		}
	}
}

// cut is for a peer that cannot write any more. What it can still read says why.
func (p *peer) cut() (vanishing bool) {
	if isClosed(p.deserted) {
		p.reset()
	}
	return false
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// end ends the session as its fate says.
func (p *peer) end() (vanishing bool) {
	switch p.fate.way {
	case closes:
		_ = p.close(ownCodes[p.side]) // the gateway may have ended the session
	case hangsUp:
		p.conn.Close()
	case halves:
		_ = p.closeWrite()
	case resets:
		p.reset()
	case vanishes:
		return true
	case violates:
		_ = p.write(ws.OpCode(3), true, nil)
	}
	return false
}

func (p *peer) closeWrite() error {
	return p.conn.(interface{ CloseWrite() error }).CloseWrite()
}

func (p *peer) reset() {
	c := p.conn
	if s, ok := c.(*tls.Conn); ok {
		c = s.NetConn()
	}
	_ = c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

func (p *peer) close(code ws.StatusCode) error {
	return p.write(ws.OpClose, true, ws.NewCloseFrameBody(code, ""))
}

// write sends a frame. A client masks it piece by piece.
func (p *peer) write(op ws.OpCode, fin bool, payload []byte) error {
	h := ws.Header{Fin: fin, OpCode: op, Length: int64(len(payload))}
	if p.side == client {
		h.Masked, h.Mask = true, ws.NewMask()
	}
	if err := ws.WriteHeader(p.out, h); err != nil {
		return err
	}
	if !h.Masked {
		if _, err := p.out.Write(payload); err != nil {
			return err
		}
		return p.out.Flush()
	}
	var piece [4 << 10]byte // a multiple of the key's length
	for len(payload) > 0 {
		n := copy(piece[:], payload)
		payload = payload[n:]
		ws.Cipher(piece[:n], h.Mask, 0)
		if _, err := p.out.Write(piece[:n]); err != nil {
			return err
		}
	}
	return p.out.Flush()
}

func (t *tally) add(l line) {
	switch {
	case l.op.IsControl():
		t.controls++
		return
	case l.fin:
		t.messages++
	}
	t.frames++
	t.bytes += l.length
}

// hear reads frames and compares them with the script of the other end, until a Close frame or
// the end of the stream.
func (p *peer) hear() error {
	for {
		h, err := ws.ReadHeader(p.in)
		switch {
		case err != nil:
			return err
		case h.Masked == (p.side == client):
			return fault(fmt.Sprintf("the %s got %+v: masked or unmasked against the rule", p.side, h))
		case h.OpCode.IsControl():
			over, err := p.control(h)
			if over || err != nil {
				return err
			}
			continue
		}
		l, ok := p.hears.next()
		if want := (ws.Header{Fin: l.fin, OpCode: l.op, Length: int64(l.length), Masked: h.Masked, Mask: h.Mask}); !ok || h != want {
			return fault(fmt.Sprintf("the %s got %+v, which was not sent; next was %+v (%t)", p.side, h, want, ok))
		}
		if err := p.compare(h, p.said.of(l)); err != nil {
			return err
		}
		p.heard.frames++
		if l.fin {
			p.heard.messages++
		}
	}
}

// compare reads a payload as it comes.
func (p *peer) compare(h ws.Header, want []byte) error {
	for pos := 0; pos < len(want); {
		if _, err := p.in.Peek(1); err != nil {
			return err
		}
		b, _ := p.in.Peek(min(p.in.Buffered(), len(want)-pos)) // is there
		if h.Masked {
			ws.Cipher(b, h.Mask, pos)
		}
		if !bytes.Equal(b, want[pos:pos+len(b)]) {
			return fault(fmt.Sprintf("the %s got other bytes than were sent, in %d from byte %d of %d on", p.side, len(b), pos, len(want)))
		}
		_, _ = p.in.Discard(len(b)) // is there
		pos += len(b)
		p.heard.bytes += len(b)
	}
	return nil
}

// control reads the payload of a control frame. over is set if it is a Close frame.
func (p *peer) control(h ws.Header) (over bool, err error) {
	b := make([]byte, h.Length)
	if _, err := io.ReadFull(p.in, b); err != nil {
		return false, err
	}
	if h.Masked {
		ws.Cipher(b, h.Mask, 0)
	}
	own := len(b) == 8 // a ping of the gateway's own, or its pong
	switch {
	case h.OpCode == ws.OpClose:
		p.code, _ = ws.ParseCloseFrameData(b)
		return true, nil
	case h.OpCode == ws.OpPing && own:
		p.tell(func() { p.pongs = append(p.pongs, b) })
		return false, nil
	case h.OpCode == ws.OpPing:
		if l, ok := p.hears.next(); !ok || l.op != ws.OpPing {
			return false, fault(fmt.Sprintf("the %s got a ping %q, which was not sent; next was %+v (%t)", p.side, b, l, ok))
		}
		p.tell(func() { p.pongs = append(p.pongs, b) })
	}
	if p.heard.controls++; string(b) != peerPing {
		return false, fault(fmt.Sprintf("the %s got %+v with %q, which was not sent", p.side, h, b))
	}
	return false, nil
}
