package demo

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

const (
	pingTimeout    = 45 * time.Second // after this time without input a ping is sent; after as long again the peer is gone
	messageTimeout = 20 * time.Second // from the first byte of a message to its last
	writeTimeout   = 5 * time.Second  // for one frame
	lingerTimeout  = time.Second      // for the peer to answer a Close
	lingerBytes    = 1 << 20          // read and dropped during that time, at most
)

// ending is why this side ends a session, as its Close frame tells it.
type ending struct {
	code   ws.StatusCode
	reason string
}

func (e ending) Error() string { return e.reason }

// errClosed means that the peer has sent a Close, and this side has answered it.
var errClosed = errors.New("closed by the peer")

// socket is the server side of one WebSocket. Only one goroutine may read; any
// goroutine may write.
type socket struct {
	ctx    context.Context // its end wakes the reader; its cause may be an ending
	conn   net.Conn
	in     *bufio.Reader
	reader wsutil.Reader // reads from in

	writing sync.Mutex
	broken  bool // a frame is half written: nothing may follow it
}

// open answers the handshake r. A message of more than limit bytes, in all its
// fragments, ends the session. If ok, the caller owns the socket and must end it
// with finish; else the client has been refused.
func open(ctx context.Context, w http.ResponseWriter, r *http.Request, limit int64) (s *socket, ok bool) {
	if r.Method != http.MethodGet || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "this is a WebSocket", http.StatusUpgradeRequired)
		return nil, false
	}
	conn, rw, _, err := ws.HTTPUpgrader{Timeout: writeTimeout}.Upgrade(r, w)
	if err != nil {
		if conn != nil {
			conn.Close()
		}
		return nil, false
	}
	s = &socket{ctx: ctx, conn: conn, in: rw.Reader} // it may hold bytes that were sent after the request
	s.reader = wsutil.Reader{
		Source:         s.in,
		State:          ws.StateServerSide,
		CheckUTF8:      true,
		MaxMessageSize: limit,
		OnIntermediate: s.control,
	}
	return s, true
}

// next returns the next whole message. It answers the control frames before it,
// and sends a ping to a peer that has sent nothing for pingTimeout.
func (s *socket) next() (op ws.OpCode, message []byte, err error) {
	woken := make(chan struct{})
	stop := context.AfterFunc(s.ctx, func() {
		defer close(woken)
		s.conn.SetReadDeadline(time.Unix(1, 0))
	})
	defer func() {
		if !stop() {
			<-woken // else its deadline could be set while finish waits
		}
	}()
	for {
		op, message, err := s.message()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && s.ctx.Err() != nil:
			return 0, nil, s.over()
		case err != nil || !op.IsControl():
			return op, message, err
		}
	}
}

// message returns the next message, or the next control frame after it has
// answered it.
func (s *socket) message() (op ws.OpCode, payload []byte, err error) {
	if err := s.await(); err != nil {
		return 0, nil, err
	}
	h, err := s.reader.NextFrame()
	if err != nil {
		return 0, nil, err
	}
	if h.OpCode.IsControl() {
		return h.OpCode, nil, s.control(h, &s.reader)
	}
	payload, err = io.ReadAll(&s.reader)
	return h.OpCode, payload, err
}

// await waits until a frame begins, and sets the deadline for its message.
func (s *socket) await() error {
	for pinged := false; ; pinged = true {
		if err := s.readWithin(pingTimeout); err != nil {
			return err
		}
		_, err := s.in.Peek(1)
		switch {
		case err == nil:
			return s.readWithin(messageTimeout)
		case pinged || s.ctx.Err() != nil || !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		}
		if err := s.write(ws.NewPingFrame(nil)); err != nil {
			return err
		}
	}
}

// readWithin sets the read deadline. The end of the context sets it too, and this
// call may just have replaced that: then it returns that the deadline has passed.
func (s *socket) readWithin(d time.Duration) error {
	s.conn.SetReadDeadline(time.Now().Add(d))
	if s.ctx.Err() != nil {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// over returns the ending that the context was canceled for: its cause, or else
// that the demo stops.
func (s *socket) over() error {
	if e, ok := errors.AsType[ending](context.Cause(s.ctx)); ok {
		return e
	}
	return ending{ws.StatusGoingAway, "the demo is stopping"}
}

// control answers a control frame. The reader has checked its header.
func (s *socket) control(h ws.Header, body io.Reader) error {
	payload, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	switch h.OpCode {
	case ws.OpPing:
		return s.write(ws.NewPongFrame(payload))
	case ws.OpClose:
		if len(payload) == 1 || !utf8.Valid(payload[min(2, len(payload)):]) {
			return ending{ws.StatusProtocolError, "malformed Close frame"}
		}
		s.write(ws.NewCloseFrame(payload)) // the same code and reason, for the page to show
		return errClosed
	}
	return nil
}

func (s *socket) write(f ws.Frame) error {
	frame, err := ws.CompileFrame(f)
	if err != nil {
		return err
	}
	return s.writeCompiled(frame)
}

// writeCompiled writes a whole frame. After an error all further writes fail.
func (s *socket) writeCompiled(frame []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.broken {
		return net.ErrClosed
	}
	s.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := s.conn.Write(frame)
	s.broken = err != nil
	return err
}

// finish ends the session for the reason why, as next returns it, and closes the
// connection. A peer that can still be told gets a Close frame and lingerTimeout
// to answer. Its input is read meanwhile: unread input would turn the FIN into a
// RST, which can destroy the Close frame on its way.
func (s *socket) finish(why error) {
	defer s.conn.Close()
	e, ok := closing(why)
	if !ok || s.write(ws.NewCloseFrame(ws.NewCloseFrameBody(e.code, e.reason))) != nil {
		return
	}
	s.conn.SetReadDeadline(time.Now().Add(lingerTimeout))
	io.CopyN(io.Discard, s.in, lingerBytes)
}

// closing returns the Close frame to send for the reason why, if there is one.
func closing(why error) (e ending, ok bool) {
	if e, ok := errors.AsType[ending](why); ok {
		return e, true
	}
	if violation, ok := errors.AsType[ws.ProtocolError](why); ok {
		return ending{ws.StatusProtocolError, violation.Error()}, true
	}
	switch {
	case errors.Is(why, wsutil.ErrInvalidUTF8):
		return ending{ws.StatusInvalidFramePayloadData, "text is not UTF-8"}, true
	case errors.Is(why, wsutil.ErrMessageTooLarge):
		return ending{ws.StatusMessageTooBig, "message too large"}, true
	}
	return ending{}, false
}
