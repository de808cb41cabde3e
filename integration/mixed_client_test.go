//go:build linux

package integration

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// link is a connection of a client.
type link struct {
	*mix
	conn   net.Conn
	in     *bufio.Reader
	scheme string
	random *rand.Rand
	slow   bool        // it takes answers slowly
	left   atomic.Bool // the client has closed it
}

// reception is what a client knows of the end of a request.
type reception struct {
	status   int   // 0 without an answer
	ours     bool  // the answer is an endpoint's
	body     int   // bytes that came
	whole    bool  // all of the answer came
	over     bool  // nothing follows on the connection
	messages int   // of a session
	err      error // what has ended the answer, or the wait for it
}

// connect opens a connection, and makes some requests on it.
func (m *mix) connect(ctx context.Context, random *rand.Rand) {
	scheme := mixedSchemes[random.IntN(len(mixedSchemes))]
	target := m.targets[scheme]
	c, err := net.DialTimeout("tcp", target.Address, wstest.LongGuard)
	if err != nil {
		m.t.Error(err)
		return
	}
	l := &link{mix: m, conn: c, scheme: scheme, random: random, slow: random.IntN(8) == 0}
	if l.slow {
		_ = c.(*net.TCPConn).SetReadBuffer(64 << 10) // a packet of the loopback interface
	}
	if target.TLS != nil {
		l.conn = tls.Client(c, target.TLS)
	}
	defer l.conn.Close()
	l.in = bufio.NewReader(l.conn)
	for range 1 + random.IntN(12) {
		if ctx.Err() != nil || m.t.Failed() || !l.batch() {
			return
		}
	}
}

// batch makes some requests at once, and reports whether more can follow.
func (l *link) batch() (more bool) {
	var all []*request
	for range 1 + max(0, l.random.IntN(6)-2) {
		q := newRequest(l.seed, l.count.Add(1))
		l.live.Store(q.number, q)
		if all = append(all, q); q.last() {
			break
		}
	}
	began := time.Now()
	_ = l.conn.SetDeadline(began.Add(wstest.LongGuard))
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for _, q := range all {
			if l.send(q) != nil {
				return // what comes says why
			}
		}
	}()
	outcomes := make([]reception, len(all))
	more = true
	for i, q := range all {
		if outcomes[i] = l.receive(q); outcomes[i].over {
			more = false
			break
		}
	}
	if !more {
		l.conn.Close() // for the sender
	}
	<-sent
	over := false
	for i, q := range all {
		o := outcomes[i]
		err := l.check(q, o, over, began)
		over = over || o.over
		if _, wrong := errors.AsType[fault](err); err != nil && !wrong && l.pauses.lately() {
			l.excused.Add(1)
		} else if err != nil {
			l.t.Errorf("%v, over %s, number %d of %d on its connection, %v after that began, the engine changed meanwhile: %t: %v; the client has %+v (%v)",
				q, l.scheme, i+1, len(all), time.Since(began), l.switches.touch(began), err, o, o.err)
		}
		l.note(o)
	}
	return more
}

// note counts the statuses that clients got; 0 stands for none.
func (m *mix) note(o reception) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.statusCount[o.status]++
}

// send sends a request or, if the client leaves, what it sends before.
func (l *link) send(q *request) error {
	random := q.random(client)
	write := q.sender(l.conn, random)
	if q.course == becomes {
		return write([]byte(wstest.Handshake(q.route + strconv.FormatUint(q.number, 10))))
	}
	if err := write([]byte(q.head())); err != nil {
		return err
	}
	end := q.size
	if q.course == stops {
		end = q.at
	}
	err := l.pieces(q, random, write, q.framing, q.offset, end, end == q.size)
	if q.course == stops || q.course == quits {
		l.leave(q)
	}
	return err
}

// leave closes the connection, as the client wants it.
func (l *link) leave(q *request) {
	l.left.Store(true)
	if q.softly {
		l.conn.Close()
	} else {
		abort(l.conn)
	}
}

// receive reads the answer to a request.
func (l *link) receive(q *request) (o reception) {
	r, err := l.answer(q)
	if err != nil {
		return reception{err: err, over: true}
	}
	o.status, o.over = r.StatusCode, r.Close
	if o.status == http.StatusSwitchingProtocols {
		o.ours, o.over = true, true
		o.messages, o.err = l.talk(q)
		o.whole = o.err == nil
		return o
	}
	number := r.Header.Get(numberHeader)
	o.ours = number != ""
	count := func(n int) {
		if o.body += n; l.slow && l.random.IntN(8) == 0 {
			pause(l.random, slowest)
		}
	}
	switch {
	case !o.ours:
		n, err := io.Copy(io.Discard, r.Body)
		o.body, o.err = int(n), err
	case number != strconv.FormatUint(q.number, 10):
		o.err = fault("the answer to request " + number + " came")
	case q.course == leaves:
		o.err = l.hear(io.LimitReader(r.Body, int64(q.at)), count, q.replied, q.answer)
		l.leave(q)
		o.over = true
		return o
	default:
		o.err = l.hear(r.Body, count, q.replied, q.answer)
	}
	if o.whole = o.err == nil; !o.whole {
		o.over = true
		return o
	}
	if got, want := r.Trailer.Get(numberTrailer), q.marked(q.replying == inChunks && !q.answerless()); o.ours && got != want {
		o.err = fault(fmt.Sprintf("the trailer %q came, want %q", got, want))
	}
	return o
}

// answer reads the head of the answer, and informational answers before it.
func (l *link) answer(q *request) (*http.Response, error) {
	for informed := 0; ; {
		r, err := http.ReadResponse(l.in, &http.Request{Method: q.method})
		switch {
		case err != nil:
			return nil, err
		case r.StatusCode == http.StatusContinue && q.expects:
		case r.StatusCode == http.StatusEarlyHints:
			informed++
			if got, want := r.Header.Get("Link"), fmt.Sprintf("<%d>", q.number); got != want {
				return nil, fault(fmt.Sprintf("an informational answer with %q, want %q", got, want))
			}
		default:
			tries := int(q.received.Load()) // each may have begun with them
			if r.Header.Get(numberHeader) != "" && (informed < q.informs || informed > tries*q.informs) {
				return nil, fault(fmt.Sprintf("%d informational answers, want %d", informed, q.informs))
			}
			return r, nil
		}
	}
}

// talk plays the client of a session, which closes it. It returns how many messages were sent
// and came back.
func (l *link) talk(q *request) (messages int, err error) {
	for range l.random.IntN(8) {
		text := l.part(q.offset, l.random.IntN(64<<10), l.random.IntN(4<<10))
		if err := ws.WriteFrame(l.conn, ws.MaskFrame(ws.NewBinaryFrame(text))); err != nil {
			return messages, err
		}
		f, err := wstest.ReadFrame(l.in)
		switch {
		case err != nil:
			return messages, err
		case f.Header.OpCode != ws.OpBinary:
			return messages, fmt.Errorf("the frame %+v came: %q", f.Header, f.Payload)
		case !bytes.Equal(f.Payload, text):
			return messages, fault("another message came back than was sent")
		}
		messages++
	}
	if err := ws.WriteFrame(l.conn, ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "")))); err != nil {
		return messages, err
	}
	f, err := wstest.ReadFrame(l.in)
	if code, _ := ws.ParseCloseFrameData(f.Payload); err == nil && (f.Header.OpCode != ws.OpClose || code != ws.StatusNormalClosure) {
		err = fmt.Errorf("the frame %+v came with the code %d, want the answer to the Close frame", f.Header, code)
	}
	return messages, err
}
