package integration

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sluice/internal/wstest"
)

// soaked is one session of a soak.
type soaked struct {
	number uint64
	fate   fate
	over   <-chan struct{}  // closed when it is time to end
	left   [2]chan struct{} // by side: closed when it vanishes
	logged chan record      // how it, or its handshake, ended
	judged chan struct{}    // closed when it was judged
	ends   [2]chan account  // by side
}

// account is what one end of a session reports.
type account struct {
	*peer
	err error
}

// errNone is the client's error where no session began.
var errNone = errors.New("no session")

// play plays one session from its handshake to its record in the log, and returns what was
// wrong with it.
func (s *soak) play(ctx context.Context) error {
	x := &soaked{number: s.count.Add(1), over: ctx.Done(), logged: make(chan record, 1), judged: make(chan struct{})}
	x.fate = newFate(s.seed, x.number)
	for side := range x.ends {
		x.left[side], x.ends[side] = make(chan struct{}), make(chan account, 1)
	}
	s.live.Store(x.number, x)
	defer s.live.Delete(x.number)
	defer close(x.judged)
	err := s.open(x)
	if err == nil {
		err = s.judge(x)
	}
	if err != nil {
		return fmt.Errorf("session %d, %+v: %w", x.number, x.fate, err)
	}
	return nil
}

// open makes a handshake and plays the client's part.
func (s *soak) open(x *soaked) error {
	s.greeting <- struct{}{}
	c, err := s.dial()
	var in *bufio.Reader
	if err == nil {
		in, err = x.greet(c)
	}
	<-s.greeting
	switch {
	case c == nil:
	case in != nil:
		s.speak(x, client, c, in)
	default:
		c.Close()
		x.ends[client] <- account{new(peer), errNone}
	}
	return err
}

// dial connects to the gateway. The TLS handshake comes with the first bytes.
func (s *soak) dial() (net.Conn, error) {
	c, err := net.DialTimeout("tcp", s.target.Address, wstest.LongGuard)
	if err != nil || s.target.TLS == nil {
		return c, err
	}
	return tls.Client(c, s.target.TLS), nil
}

// greet makes a handshake. It returns the reader if there is a session.
func (x *soaked) greet(c net.Conn) (in *bufio.Reader, err error) {
	if err := c.SetDeadline(time.Now().Add(wstest.LongGuard)); err != nil {
		return nil, err
	}
	uri := x.fate.route + strconv.FormatUint(x.number, 10)
	if _, err := io.WriteString(c, wstest.Handshake(uri)); err != nil {
		return nil, fmt.Errorf("sending the handshake: %w", err)
	}
	if x.fate.begs(client) {
		return nil, nil
	}
	in = bufio.NewReader(c)
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return nil, fmt.Errorf("the answer to the handshake: %w", err)
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return nil, nil
	}
	return in, nil
}

// accept serves the backend.
func (s *soak) accept() {
	for {
		c, err := s.backend.Accept()
		if err != nil {
			return // it is closed
		}
		s.running.Go(func() { s.serve(c) })
	}
}

// serve plays the backend's part.
func (s *soak) serve(c net.Conn) {
	in := bufio.NewReader(c)
	r, err := http.ReadRequest(in)
	if err != nil {
		c.Close() // the client has left in the handshake
		return
	}
	number, _ := strconv.ParseUint(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:], 10, 64)
	found, ok := s.live.Load(number)
	if !ok || found.(*soaked).fate.begs(backend) {
		c.Close()
		return
	}
	_, err = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		wstest.AcceptKey(r.Header.Get("Sec-WebSocket-Key")))
	if err != nil {
		c.Close()
		return
	}
	s.speak(found.(*soaked), backend, c, in)
}

// speak plays a side's part behind the handshake.
func (s *soak) speak(x *soaked, side side, c net.Conn, in *bufio.Reader) {
	p := &peer{
		side: side, conn: c, in: in, out: bufio.NewWriter(c), fate: x.fate, said: s.said,
		says: newScript(s.seed, x.number, side), hears: newScript(s.seed, x.number, side.other()),
		random: rand.New(rand.NewPCG(s.seed, x.number<<2|uint64(side))), pause: s.pause, over: x.over,
		left: x.left[side], deserted: x.left[side.other()], wake: make(chan struct{}, 1),
	}
	vanished, err := p.run()
	x.ends[side] <- account{p, err}
	if vanished {
		s.running.Go(func() { s.bury(x, c) })
	}
}

// bury keeps the connection of a vanished peer open until its session was judged, and then
// as long as there is room for more: the gateway must not learn from it that the peer left.
func (s *soak) bury(x *soaked, c net.Conn) {
	<-x.judged
	for {
		select {
		case s.graves <- c:
			return
		default:
		}
		select {
		case oldest := <-s.graves:
			oldest.Close()
		default:
		}
	}
}
