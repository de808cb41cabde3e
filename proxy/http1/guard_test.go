//go:build linux && !portable

package http1

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/clock"
	"sluice/internal/h1"
	"sluice/internal/header"
	"sluice/internal/loop"
	"sluice/internal/message"
	"sluice/internal/wstest"
	"sluice/proxy/backend/dial"
	"sluice/proxy/clientio"
)

// fragile is an exchange that the loop forwards, and that panics at one of its steps.
type fragile struct {
	t       *testing.T
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
func (x *fragile) Forward() bool                    { x.at("Forward"); return true }
func (x *fragile) Dialer() *dial.Dialer             { x.at("Dialer"); return x.dialer }
func (x *fragile) Connected()                       { x.at("Connected") }
func (x *fragile) Method() string                   { return "GET" }
func (x *fragile) Upgrades() bool                   { return x.upgrade }
func (x *fragile) Timeouts() Timeouts               { return Timeouts{Response: wstest.Guard} }
func (x *fragile) MinRate() float64                 { return 0 }
func (x *fragile) MaxBody() int64                   { return 0 }
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

// A panic at any step ends one connection: its exchange is aborted, its sockets are closed, and
// the loop serves the next one.
func TestAPanicEndsOneConnection(t *testing.T) {
	const answer = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"
	tests := []struct {
		step, answer string
		upgrade      bool
	}{
		{"Forward", answer, false}, {"Dialer", answer, false}, {"AppendHead", answer, false}, {"Connected", answer, false}, {"EditInformational", answer, false},
		{"EditAnswer", answer, false}, {"EditTrailer", answer, false}, {"Done", answer, false}, {"Fail", "nonsense\r\n\r\n", false},
		{"AppendSwitch", "HTTP/1.1 101 Switching Protocols\r\n\r\n", true}, {"Join", "HTTP/1.1 101 Switching Protocols\r\n\r\n", true},
	}
	for _, tt := range tests {
		t.Run(tt.step, func(t *testing.T) {
			backend, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{}, 10) // an endpoint's connection has ended
			says := make(chan string, 10)
			go func() {
				for {
					c, err := backend.Accept()
					if err != nil {
						return
					}
					go func() {
						defer func() { ended <- struct{}{} }()
						defer c.Close()
						in := bufio.NewReader(c)
						for {
							if _, err := http.ReadRequest(in); err != nil {
								return
							}
							io.WriteString(c, <-says)
						}
					}()
				}
			}()
			defer backend.Close()
			step := tt.step
			var aborted atomic.Int32
			panics := make(chan string, 10)
			dialer := dial.New(dial.Spec{Network: "tcp", Address: backend.Addr().String(), Timeout: wstest.Guard}, new(atomic.Int64), nil)
			l := loop.New(clock.New(), loop.NewPipes(0))
			ctx, cancel := context.WithCancel(context.Background())
			over := make(chan struct{})
			engine := New([]*loop.Loop{l})
			go func() { defer close(over); l.Run(ctx) }()
			defer func() { cancel(); <-over }()
			s := engine.NewServer(Options{
				MaxHeader: 16 << 10, MaxFields: 100, HeaderTimeout: wstest.Guard, IdleTimeout: wstest.Guard,
				Begin: func(*clientio.Conn, message.Request) Exchange {
					return &fragile{t: t, step: step, dialer: dialer, upgrade: tt.upgrade && step != "", aborted: &aborted}
				},
				Panicked: func(cause any, _ []byte) { panics <- fmt.Sprint(cause) },
			})
			says <- tt.answer
			c := s.connect(t)
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			all, err := io.ReadAll(c) // to the end of the connection
			if errors.Is(err, context.DeadlineExceeded) {
				t.Fatal("the connection lives on")
			}
			if got := <-panics; got != "at "+tt.step {
				t.Errorf("%s; want one at %s", got, tt.step)
			}
			if tt.step != "Forward" && tt.step != "Dialer" && tt.step != "AppendHead" && tt.step != "Done" {
				<-ended
			}
			step = ""
			select {
			case <-says: // it was not asked
			default:
			}
			says <- answer
			next := s.connect(t)
			io.WriteString(next, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			if all, err := io.ReadAll(next); len(all) == 0 || err != nil {
				t.Errorf("the next client read %q, %v", all, err)
			}
			done, stop := context.WithTimeout(context.Background(), 10*time.Second)
			defer stop()
			s.Shutdown(done)
			if done.Err() != nil {
				t.Errorf("%d connections are left", s.conns)
			}
			if aborted.Load() != 1 {
				t.Errorf("the exchange was aborted %d times, behind %q", aborted.Load(), all)
			}
		})
	}
}
