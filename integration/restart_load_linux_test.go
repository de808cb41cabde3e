//go:build !portable

package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// fromEnvironment returns a number that a variable sets, for runs that are longer than those of every day.
func fromEnvironment(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	value := os.Getenv(variable)
	if value == "" {
		return otherwise
	}
	n, err := strconv.Atoi(value)
	if err != nil || n <= 0 {
		t.Fatalf("%s is %q; want a number above 0", variable, value)
	}
	return n
}

// Sessions that echo all the time get every message back, once and in order, while one process after the other
// takes over. What was counted, and what each process holds, is exact at the end. RESTART_SESSIONS and RESTARTS make
// it longer.
func TestRestartsUnderLoad(t *testing.T) {
	sessions, restarts := fromEnvironment(t, "RESTART_SESSIONS", 500), fromEnvironment(t, "RESTARTS", 5)
	b := wstest.NewBackend(t, wstest.Accepting(wstest.EchoFrames))
	g := operated(t, fmt.Sprintf("backends: { app: { endpoints: [%q] } }\nroutes: [{ path: /*, name: echo, backend: app, websocket: { ping_interval: 1s, limits: { message_rate: 100000/s, message_size: 1MiB } } }]\n", b.Address))
	g.divert(func(record) {}) // sessions that open are too many to keep
	var (
		clients sync.WaitGroup
		stop    atomic.Bool
		sent    atomic.Int64
	)
	for i := range sessions {
		target := g.http
		if i%2 == 1 && len(g.movable()) > 1 {
			target = g.https
		}
		c := wstest.Open(t, target, wstest.Handshake("/"))
		r := rand.New(rand.NewPCG(uint64(i), 1))
		clients.Go(func() {
			for n := 0; !stop.Load(); n++ {
				var frames []ws.Frame
				for k := range 1 + r.IntN(3) {
					frames = append(frames, wstest.Text(fmt.Sprintf("session %d, message %d.%d %s", i, n, k, strings.Repeat("x", r.IntN(1<<r.IntN(16))))))
				}
				if err := echoed(c, frames); err != nil {
					t.Errorf("session %d, messages %d: %v", i, n, err)
					return
				}
				sent.Add(int64(len(frames)))
				time.Sleep(time.Duration(r.IntN(int(4 * time.Duration(sessions) * time.Second / 10_000)))) // it sends 2 at once: 10,000 a second of all
			}
			c.Conn.Send(wstest.Close(1000, "")) // its error is that of Next
			f, err := c.Next()
			for err == nil && f.Header.OpCode == ws.OpPing {
				f, err = c.Next()
			}
			if err != nil || f.Header.OpCode != ws.OpClose {
				t.Errorf("session %d: after its Close frame %v, %v; want the answer", i, f.Header.OpCode, err)
			}
		})
	}
	defer func() { // also when the test fails
		stop.Store(true)
		clients.Wait()
	}()
	first := g.look()
	var second view // the first one that has taken over
	for n := range restarts {
		if t.Failed() {
			break
		}
		r := g.restart(t)
		if r.Sessions != sessions || r.Stayed != 0 {
			t.Errorf("restart %d: %+v; want that %d sessions went over, and none ends", n, r, sessions)
		}
		if n == 0 {
			second = g.look()
		}
		t.Logf("restart %d: %.0f ms, pauses %.1f, %.1f, %.1f ms", n, r.Millis, r.PauseP50, r.PauseP99, r.PauseMax)
	}
	var last view
	eventually(t, "the last process has the descriptors that the first one had", func() bool {
		last = g.look()
		return last.sockets == first.sockets && last.pipes == first.pipes && last.others == first.others
	})
	if t.Logf("the first process: %v; the second one: %v; the last one: %v", first, second, last); last.resident > second.resident*5/4+8<<20 {
		t.Errorf("the last process has %d bytes of memory, and the second one had %d", last.resident, second.resident)
	}
	stop.Store(true)
	clients.Wait()
	eventually(t, "all sessions have ended", func() bool { return g.metric(t, `sluice_sessions_open{route="echo"}`) == 0 })
	for name, want := range map[string]int64{
		`sluice_sessions_opened_total{route="echo"}`:                                         int64(sessions),
		`sluice_sessions_closed_total{cause="close",code="1000",route="echo",side="client"}`: int64(sessions),
		`sluice_session_messages_total{from="client",route="echo"}`:                          sent.Load(),
		`sluice_session_messages_total{from="backend",route="echo"}`:                         sent.Load(),
		`sluice_session_duration_seconds_count{route="echo"}`:                                int64(sessions),
		`sluice_endpoint_sessions{backend="app",endpoint="` + b.Address + `"}`:               0,
	} {
		if got := g.metric(t, name); got != want {
			t.Errorf("%s is %d after %d restarts; want %d", name, got, restarts, want)
		}
	}
}

// echoed sends frames, and returns what is wrong with what comes back.
func echoed(c wstest.Peer, frames []ws.Frame) error {
	if err := c.Conn.Send(frames...); err != nil {
		return err
	}
	for i := 0; i < len(frames); {
		f, err := c.Next()
		switch {
		case err != nil:
			return err
		case f.Header.OpCode == ws.OpPing:
			if err := c.Conn.Send(wstest.Pong(string(f.Payload))); err != nil {
				return err
			}
			continue
		case string(f.Payload) != string(frames[i].Payload):
			return fmt.Errorf("got %q (%d bytes); want %q (%d bytes)", clip(f.Payload), len(f.Payload), clip(frames[i].Payload), len(frames[i].Payload))
		}
		i++
	}
	return nil
}

func clip(b []byte) []byte { return b[:min(len(b), 60)] }

// metric returns a counter or a gauge of the gateway; 0 if it has none.
func (g *gateway) metric(t *testing.T, name string) int64 {
	t.Helper()
	_, body := wstest.Ask(t, g.operators("unix"), "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(body)
	if m == nil {
		return 0
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return int64(v)
}

// zombie reports whether a process has ended, and its parent has not seen that.
func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, _ := strings.Cut(string(b), ") ")
	return err == nil && strings.HasPrefix(after, "Z")
}
