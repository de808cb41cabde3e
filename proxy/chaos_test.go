package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"sluice/internal/admin"
	"sluice/internal/wstest"
)

// flapping is an endpoint that comes and goes, is slow and resets connections.
type flapping struct {
	address string
	server  http.Server
	trouble atomic.Int64 // percent of connections

	mu   sync.Mutex
	open map[net.Conn]struct{}
	ln   net.Listener // nil while it is gone
}

func newFlapping(t *testing.T) *flapping {
	t.Helper()
	f := &flapping{address: wstest.Reserve(t), open: make(map[net.Conn]struct{})}
	f.server.Handler = http.HandlerFunc(f.answer)
	f.server.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, f, c) }
	if err := f.back(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.leave(); f.server.Close() })
	return f
}

// leave closes the listener, and resets what is open.
func (f *flapping) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ln != nil {
		f.ln.Close()
		f.ln = nil
	}
	for c := range f.open {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
		delete(f.open, c)
	}
}

// back listens again, if it is gone.
func (f *flapping) back() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ln != nil {
		return nil
	}
	ln, err := net.Listen("tcp", f.address)
	if err != nil {
		return err
	}
	f.ln = ln
	go f.server.Serve(&troubled{ln, f})
	return nil
}

// answer echoes messages, or says ok.
func (f *flapping) answer(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		io.Copy(w, r.Body)
		io.WriteString(w, "ok")
		return
	}
	c, _, _, err := ws.UpgradeHTTP(r, w)
	if err != nil {
		return
	}
	defer c.Close()
	for {
		p, op, err := wsutil.ReadClientData(c)
		if err != nil {
			return
		}
		// In one piece: package ws writes header and payload by themselves, and behind
		// a header alone no session can have a Close frame.
		if _, err := c.Write(ws.MustCompileFrame(ws.NewFrame(op, true, p))); err != nil {
			return
		}
	}
}

// troubled is a listener that delays some connections and resets others.
type troubled struct {
	net.Listener
	f *flapping
}

func (l *troubled) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l.f.mu.Lock()
		l.f.open[c] = struct{}{}
		l.f.mu.Unlock()
		switch n := rand.Int64N(100); {
		case n >= l.f.trouble.Load():
			return c, nil
		case n%2 == 0:
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		default:
			<-time.After(rand.N(20 * time.Millisecond))
			return c, nil
		}
	}
}

// chaos is what clients have seen.
type chaos struct {
	t                          *testing.T
	address                    string
	answers, failures, goodbye atomic.Int64
	sessions                   atomic.Int64
}

// client does what clients do until ctx ends.
func (c *chaos) client(ctx context.Context) {
	transport := &http.Transport{DisableKeepAlives: true}
	for ctx.Err() == nil {
		if rand.IntN(2) == 0 {
			c.session(ctx)
			continue
		}
		method, body := "GET", ""
		if rand.IntN(3) == 0 {
			method, body = "POST", strings.Repeat("x", rand.IntN(100_000))
		}
		r, _ := http.NewRequestWithContext(ctx, method, "http://"+c.address+"/", strings.NewReader(body))
		res, err := transport.RoundTrip(r)
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
				c.t.Errorf("%s: %v", method, err) // an answer may be cut, or come before the request has ended
			}
			continue
		}
		_, err = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		switch {
		case res.StatusCode == 200:
			c.answers.Add(1)
		case res.StatusCode >= 502 && res.StatusCode <= 504 && err == nil:
			c.failures.Add(1)
		default:
			c.t.Errorf("%s: %d, %v", method, res.StatusCode, err)
		}
	}
}

// session opens one, says a few words and leaves, sometimes without a goodbye.
func (c *chaos) session(ctx context.Context) {
	conn, early, _, err := ws.Dial(ctx, "ws://"+c.address+"/")
	if err != nil {
		var status ws.StatusError
		if ctx.Err() == nil && (!errors.As(err, &status) || status < 502 || status > 504) {
			c.t.Errorf("handshake: %v", err)
		}
		return
	}
	defer conn.Close()
	c.sessions.Add(1)
	in := io.Reader(conn)
	if early != nil { // came with the 101
		in = early
	}
	conn.SetDeadline(time.Now().Add(wstest.Guard))
	for range rand.IntN(4) {
		if wsutil.WriteClientText(conn, []byte("hello")) != nil {
			break
		}
		h, err := ws.ReadHeader(in)
		body := make([]byte, min(h.Length, ws.MaxControlFramePayloadSize))
		if err == nil {
			_, err = io.ReadFull(in, body)
		}
		if err != nil {
			c.t.Errorf("a session ended with %v; want a Close frame", err)
			return
		}
		if h.OpCode == ws.OpClose {
			if code, _ := ws.ParseCloseFrameData(body); code != 1012 && code != 1014 {
				c.t.Errorf("a session was closed with %d; want 1012 or 1014", code)
			}
			c.goodbye.Add(1)
			return
		}
	}
	if rand.IntN(2) == 0 {
		ws.WriteFrame(conn, ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, ""))))
		io.Copy(io.Discard, conn)
	}
}

// Whatever endpoints do, and whatever is configured meanwhile, the books
// balance: nothing is counted that is not there. SLUICE_CHAOS is how long it
// lasts.
func TestChaos(t *testing.T) {
	last, err := time.ParseDuration(cmp.Or(os.Getenv("SLUICE_CHAOS"), "2s"))
	if err != nil {
		t.Fatal(err)
	}
	endpoints := make([]*flapping, 4)
	for i := range endpoints {
		endpoints[i] = newFlapping(t)
	}
	text := func() string {
		var list []string
		for _, e := range endpoints {
			list = append(list, fmt.Sprintf("{address: %q, weight: %d, drain: %v, max_sessions: 6, max_requests: 6}", e.address, 1+rand.IntN(3), rand.IntN(6) == 0))
		}
		n := 2 + rand.IntN(3)
		return fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0"}]
backends:
  app:
    endpoints: [%s]
    balance: %s
    health: {check: websocket, interval: 100ms, timeout: 100ms, rise: 1}
    passive: {failures: 3, eject: 100ms, max_eject: 400ms}
    retry: {try_timeout: 200ms}
    queue: {length: 8, timeout: 200ms}
    drain_time: 50ms
    slow_start: 1s
routes: [{backend: app}]
`, strings.Join(list[:n], ", "), []string{"least_connections", "round_robin", "random_two", "hash"}[rand.IntN(4)])
	}
	g, address := start(t, text())
	c := &chaos{t: t, address: address}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	defer time.AfterFunc(last, cancel).Stop()
	var all sync.WaitGroup
	for range 24 {
		all.Go(func() { c.client(ctx) })
	}
	all.Go(func() {
		step := time.NewTicker(50 * time.Millisecond)
		defer step.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-step.C:
			}
			e := endpoints[rand.IntN(len(endpoints))]
			switch rand.IntN(6) {
			case 0, 1:
				e.leave()
			case 2:
				if err := e.back(); err != nil {
					t.Error(err)
				}
			case 3:
				e.trouble.Store(rand.Int64N(50))
			default:
				g.apply(text())
			}
			for _, s := range g.endpoints() {
				if s.Sessions < 0 || s.Requests < 0 || s.Sessions > 6 || s.Requests > 6 {
					t.Errorf("%+v: want from 0 to 6 of each", s)
				}
			}
		}
	})
	all.Wait()
	g.settled()
	var opened, ended int
	g.awaitBackends("end of a session on an endpoint that was removed", func([]admin.Endpoint) bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		log := g.log.String()
		opened, ended = strings.Count(log, `"session opened"`), strings.Count(log, `"session ended"`)
		return opened == ended
	})
	t.Logf("%d requests answered, %d not; %d sessions, %d ended by the gateway", c.answers.Load(), c.failures.Load(), c.sessions.Load(), c.goodbye.Load())
	if int64(opened) < c.sessions.Load() {
		t.Errorf("%d sessions opened, of %d that clients had", opened, c.sessions.Load())
	}
	if c.answers.Load() == 0 || c.sessions.Load() == 0 {
		t.Error("nothing was served")
	}
}

// settled waits until nothing is under way.
func (g *running) settled() {
	g.t.Helper()
	g.awaitBackends("nothing under way", func(all []admin.Endpoint) bool {
		return !slices.ContainsFunc(all, func(s admin.Endpoint) bool { return s.Sessions+s.Requests > 0 })
	})
}
