//go:build linux && !portable

package http1

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/h1"
	"sluice/internal/header"
	"sluice/internal/loop"
	"sluice/internal/message"
	"sluice/internal/wstest"
	"sluice/proxy/backend/dial"
	"sluice/proxy/clientio"
)

// fragile is an exchange that the loop forwards, and that panics at one of its steps. A goroutine
// serves it if that step is Serve.
type fragile struct {
	step    string // at which it panics; "" for none
	dialer  *dial.Dialer
	upgrade bool
	aborted *atomic.Int32
}

func (x *fragile) at(step string) {
	if x.step == step {
		panic("at " + step)
	}
}

func (x *fragile) Serve(_ context.Context, w http.ResponseWriter, _ io.ReadCloser, _ *http.Header) {
	x.at("Serve")
	http.Error(w, "the endpoint has failed", http.StatusBadGateway)
}
func (x *fragile) Forward() bool                    { x.at("Forward"); return x.step != "Serve" }
func (x *fragile) Dialer() *dial.Dialer             { x.at("Dialer"); return x.dialer }
func (x *fragile) Connected()                       { x.at("Connected") }
func (x *fragile) Method() string                   { return "GET" }
func (x *fragile) Upgrades() bool                   { return x.upgrade }
func (x *fragile) Timeouts() Timeouts               { x.at("Timeouts"); return Timeouts{Response: wstest.Guard} }
func (x *fragile) MinRate() float64                 { x.at("MinRate"); return 0 }
func (x *fragile) MaxBody() int64                   { x.at("MaxBody"); return 0 }
func (x *fragile) Repeatable() bool                 { return true }
func (x *fragile) EditInformational(*header.Fields) { x.at("EditInformational") }
func (x *fragile) EditAnswer(*h1.Head)              { x.at("EditAnswer") }
func (x *fragile) EditTrailer(*header.Fields)       { x.at("EditTrailer") }
func (x *fragile) EditRequestTrailer(*header.Fields) {
	x.at("EditRequestTrailer")
}
func (x *fragile) AppendHead(b []byte, _ *header.Fields) []byte {
	x.at("AppendHead")
	return append(b, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"...)
}
func (x *fragile) AppendSwitch(b []byte, _ *h1.Head) ([]byte, error) {
	x.at("AppendSwitch")
	return append(b, "HTTP/1.1 101 Switching Protocols\r\n\r\n"...), nil
}
func (x *fragile) Join(_ int, client, backend Socket) {
	x.at("Join")
	loop.Close(client.FD)
	loop.Close(backend.FD)
}
func (x *fragile) Done(Result)              { x.at("Done") }
func (x *fragile) Abandon()                 { x.at("Abandon") }
func (x *fragile) Abort()                   { x.aborted.Add(1) }
func (x *fragile) Fail(error, Stage, int64) { x.at("Fail") }

// guarded is a server on a loop, whose exchanges are fragile, and their endpoint.
type guarded struct {
	*Server
	t       *testing.T
	l       *loopConns
	step    string // of the next exchange
	upgrade bool
	aborted atomic.Int32
	panics  chan string
	repair  func() // is called on the loop before it handles a panic
	dialer  *dial.Dialer
	open    atomic.Int64  // connections to the endpoint, as its dialer counts them
	asked   chan net.Conn // connections of the endpoint on which something has come
	served  sync.WaitGroup
	stop    func() // the endpoint takes no more connections
}

func newGuarded(t *testing.T) *guarded {
	g := &guarded{t: t, panics: make(chan string, 10), asked: make(chan net.Conn, 100), repair: func() {}}
	endpoint, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.stop = func() { endpoint.Close() }
	t.Cleanup(g.stop)
	g.served.Go(func() {
		for {
			c, err := endpoint.Accept()
			if err != nil {
				return
			}
			g.served.Go(func() {
				defer c.Close()
				for in := make([]byte, 4096); err == nil; {
					if _, err = c.Read(in); err == nil {
						g.asked <- c
					}
				}
			})
		}
	})
	g.dialer = dial.New(dial.Spec{Network: "tcp", Address: endpoint.Addr().String(), Timeout: wstest.Guard}, &g.open, nil)
	g.Server, g.l = startServer(t, func(*clientio.Conn, message.Request) Exchange {
		if g.step == "Begin" {
			panic("at Begin")
		}
		return &fragile{step: g.step, dialer: g.dialer, upgrade: g.upgrade, aborted: &g.aborted}
	})
	g.options.Panicked = func(cause any, _ []byte) {
		g.repair()
		g.repair = func() {}
		g.panics <- fmt.Sprint(cause)
	}
	return g
}

// await returns what comes from a channel.
func await[T any](t *testing.T, what string, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(wstest.Guard):
		t.Fatalf("%s: not within %v", what, wstest.Guard)
	}
	return v
}

// goesOn checks that the loop serves the next client, and that nothing is left of any connection.
func (g *guarded) goesOn() {
	g.t.Helper()
	g.step, g.upgrade = "", false
	over := make(chan struct{})
	defer close(over)
	go func() { // something may still have come on connections that have ended
		for {
			select {
			case endpoint := <-g.asked:
				io.WriteString(endpoint, chunkedAnswer)
			case <-over:
				return
			}
		}
	}()
	next := g.connect(g.t)
	io.WriteString(next, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	if all, err := io.ReadAll(next); !strings.Contains(string(all), "hello") || err != nil {
		g.t.Errorf("the next client read %q, %v", all, err)
	}
	done, stop := context.WithTimeout(context.Background(), wstest.Guard)
	defer stop()
	g.Shutdown(done)
	if done.Err() != nil {
		g.t.Errorf("%d connections are left", g.conns)
	}
	g.l.Call(g.l.upstreams.Stop)
	g.stop()
	ended := make(chan struct{})
	go func() { g.served.Wait(); close(ended) }()
	await(g.t, "the end of the endpoint's connections", ended)
	for guard := time.Now().Add(wstest.Guard); g.l.Load() > 0 && time.Now().Before(guard); { // sockets are closed on goroutines
		g.l.Call(func() {})
	}
	pipes, spare := g.l.Pipes.Count()
	secrets, _ := g.l.tls.Secrets()
	if g.l.Load() != 0 || g.open.Load() != 0 || pipes != spare || secrets != 0 {
		g.t.Errorf("%d connections on the loop, %d to the endpoint, %d pipes, %d bytes of secrets are left", g.l.Load(), g.open.Load(), pipes-spare, secrets)
		g.l.Leave(int(g.l.Load())) // or it would not end
	}
}

const (
	plainRequest  = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	chunkedAnswer = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"
	switching     = "HTTP/1.1 101 Switching Protocols\r\n\r\n"
)

// A panic at any step of an exchange ends one connection: the exchange is aborted, its sockets are
// closed once, and the loop serves the next one.
func TestAPanicEndsOneConnection(t *testing.T) {
	large := "HTTP/1.1 200 OK\r\nContent-Length: 8000000\r\n\r\n" + strings.Repeat("x", 8_000_000)
	tests := []struct {
		step, request, answer string
		upgrade               bool
		leaves                string // behind which the client leaves
		aborted               int32
	}{
		{step: "Begin"},
		{step: "Forward", aborted: 1},
		{step: "MaxBody", aborted: 1},
		{step: "Dialer", aborted: 1},
		{step: "AppendHead", aborted: 1},
		{step: "Timeouts", aborted: 1},
		{step: "Connected", aborted: 1},
		{step: "EditRequestTrailer", request: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n", aborted: 1},
		{step: "EditInformational", answer: chunkedAnswer, aborted: 1},
		{step: "EditAnswer", answer: chunkedAnswer, aborted: 1},
		{step: "EditTrailer", answer: chunkedAnswer, aborted: 1},
		{step: "MinRate", answer: large, aborted: 1}, // the client does not read, and the rest is in a pipe
		{step: "Done", answer: chunkedAnswer, aborted: 1},
		{step: "Done", answer: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", leaves: "hello", aborted: 1},
		{step: "Abandon", answer: "HTTP/1.1 103 Early Hints\r\n\r\n", leaves: "\r\n\r\n", aborted: 1},
		{step: "Fail", answer: "nonsense\r\n\r\n", aborted: 1},
		{step: "Serve"}, // which ends the exchange by itself
		{step: "AppendSwitch", answer: switching, upgrade: true, aborted: 1},
		{step: "Join", answer: switching, upgrade: true, aborted: 1},
	}
	for _, tt := range tests {
		name := tt.step
		if tt.leaves != "" {
			name += " of a client that leaves"
		}
		t.Run(name, func(t *testing.T) {
			g := newGuarded(t)
			g.step, g.upgrade = tt.step, tt.upgrade
			c := g.connect(t)
			io.WriteString(c, cmp.Or(tt.request, plainRequest))
			if tt.answer != "" {
				endpoint := await(t, "the request", g.asked)
				go io.WriteString(endpoint, tt.answer) // all of it may not be taken
			}
			if tt.leaves != "" {
				for in := make([]byte, 1); !strings.HasSuffix(string(in), tt.leaves); {
					n := len(in)
					in = append(in, 0)
					if _, err := io.ReadFull(c, in[n:]); err != nil {
						t.Fatalf("the client read %q, %v", in, err)
					}
				}
				c.Close()
			}
			if got := await(t, "a panic", g.panics); got != "at "+tt.step {
				t.Errorf("%s; want one at %s", got, tt.step)
			}
			if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) { // to the end of the connection
				t.Error("the connection lives on")
			}
			g.goesOn()
			if n := g.aborted.Load(); n != tt.aborted {
				t.Errorf("the exchange was aborted %d times; want %d", n, tt.aborted)
			}
		})
	}
}
