//go:build unix

package proxy

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/rs/zerolog"

	"sluice/config"
	"sluice/internal/admin"
	"sluice/internal/wstest"
	"sluice/proxy/operate"
)

// operated is a gateway with sessions, and its operators.
type operated struct {
	*operate.Operator
	gateway *Gateway
	backend string // address
	clients []net.Conn
}

// newOperated runs a gateway with n sessions to a backend that echoes.
func newOperated(t testing.TB, n int) *operated {
	t.Helper()
	b := wstest.NewBackend(t, wstest.Echo)
	g := New(func(config.Log) zerolog.Logger { return zerolog.Nop() }, Options{})
	o := &operated{Operator: g.Operator, gateway: g, backend: b.Address}
	change := o.apply(t, "")
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan struct{})
	go func() { g.Run(ctx, context.Background()); close(ran) }()
	t.Cleanup(func() {
		for _, c := range o.clients {
			c.Close()
		}
		cancel()
		<-ran
	})
	handshake := wstest.Handshake("/room?user=7")
	for range n {
		c, err := net.Dial("tcp", change.Listeners[0].Address)
		if err != nil {
			t.Fatal(err)
		}
		o.clients = append(o.clients, c)
		c.SetDeadline(time.Now().Add(wstest.Guard))
		if _, err := io.WriteString(c, handshake); err != nil {
			t.Fatal(err)
		}
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || r.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("session %d: %v, %v", len(o.clients), r, err)
		}
		c.SetDeadline(time.Time{})
	}
	o.await(t, n)
	return o
}

// apply makes a configuration the one in force, whose route has these keys besides.
func (o *operated) apply(t testing.TB, keys string) Change {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(fmt.Sprintf("listeners: [127.0.0.1:0]\nroutes: [{ name: chat, path: /*, backend: %q%s }]\n", o.backend, keys)), config.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	change, err := o.gateway.Apply(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return change
}

// await waits until so many sessions are listed.
func (o *operated) await(t testing.TB, n int) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	guard := time.After(wstest.Guard)
	for {
		found := 0
		o.EachSession(func(*admin.Session) bool { return true }, func(*admin.Session) bool { found++; return true })
		if found == n {
			return
		}
		select {
		case <-tick.C:
		case <-guard:
			t.Fatalf("%d sessions are listed, want %d", found, n)
		}
	}
}

// Each session is told once, and the walk ends when it is told to.
func TestEachSession(t *testing.T) {
	o := newOperated(t, 10)
	names := make(map[string]bool)
	o.EachSession(func(*admin.Session) bool { return true }, func(s *admin.Session) bool {
		if names[s.Session] || s.Route != "chat" || s.Client != "127.0.0.1" || s.URI != "/room?user=7" {
			t.Errorf("%+v", s)
		}
		names[s.Session] = true
		return true
	})
	if len(names) != 10 {
		t.Errorf("%d sessions, want 10", len(names))
	}
	matched, yielded := 0, 0
	o.EachSession(func(*admin.Session) bool { matched++; return matched%2 == 0 }, func(*admin.Session) bool { yielded++; return yielded < 3 })
	if matched != 6 || yielded != 3 {
		t.Errorf("%d were matched and %d told, want 6 and 3", matched, yielded)
	}
}

// Sessions go on while a slow reader of a list is in its way: no loop waits for it.
func TestAListHoldsNothingUp(t *testing.T) {
	o := newOperated(t, 10)
	o.EachSession(func(*admin.Session) bool { return true }, func(*admin.Session) bool {
		// Inside the walk, other walks and ends of sessions are done.
		o.EndSessions(func(*admin.Session) bool { return true }, admin.Ending{Code: 4001, Reason: "bye"}, 0)
		return false
	})
	for i, c := range o.clients {
		c.SetDeadline(time.Now().Add(wstest.Guard))
		f, err := wstest.ReadFrame(c)
		if err != nil {
			t.Fatal(err)
		}
		if code, reason := ws.ParseCloseFrameData(f.Payload); code != 4001 || reason != "bye" {
			t.Errorf("client %d: %v %q", i, code, reason)
		}
		c.Close()
	}
	o.await(t, 0)
}

// Sessions that begin and end while they are listed do no harm.
func TestListsWhileSessionsComeAndGo(t *testing.T) {
	o := newOperated(t, 50)
	stop := make(chan struct{})
	var lists sync.WaitGroup
	for range 4 {
		lists.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				o.EachSession(func(s *admin.Session) bool { return s.Route == "chat" }, func(s *admin.Session) bool {
					if s.Endpoint == "" || s.URI == "" {
						t.Errorf("half a session: %+v", *s)
					}
					return true
				})
			}
		})
	}
	for _, c := range o.clients {
		c.Close()
	}
	o.await(t, 0)
	close(stop)
	lists.Wait()
}

// EndSessions tells how many sessions end, and ends none of them twice.
func TestEndSessions(t *testing.T) {
	o := newOperated(t, 5)
	all := func(*admin.Session) bool { return true }
	if n := o.EndSessions(func(*admin.Session) bool { return false }, admin.Ending{}, 0); n != 0 {
		t.Errorf("%d sessions end, want none", n)
	}
	once := true
	if n := o.EndSessions(func(*admin.Session) bool { defer func() { once = false }(); return once }, admin.Ending{Code: 4001}, 0); n != 1 {
		t.Errorf("%d sessions end, want 1", n)
	}
	if n := o.EndSessions(all, admin.Ending{}, 0); n != 4 {
		t.Errorf("%d sessions end, want the other 4", n)
	}
	if n := o.EndSessions(all, admin.Ending{}, 0); n != 0 {
		t.Errorf("%d sessions end again", n)
	}
}

// A reload that forbids payloads ends the taps that show them, whatever is allowed before they are read
// again. Taps of headers stay, and the place of the others is free.
func TestAReloadThatForbidsPayloadsEndsTaps(t *testing.T) {
	o := newOperated(t, 2)
	o.apply(t, ", tap: payload")
	var names []string
	o.EachSession(func(*admin.Session) bool { return true }, func(s *admin.Session) bool { names = append(names, s.Session); return true })
	tap := func(session string, payload bool) admin.Tap {
		t.Helper()
		got, err := o.Tap(session, admin.TapOptions{Payload: payload})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(got.Close)
		return got
	}
	payloads, headers := tap(names[0], true), tap(names[1], false)
	o.apply(t, "")
	if _, err := o.Tap(names[0], admin.TapOptions{Payload: true}); !errors.Is(err, admin.ErrForbidden) {
		t.Errorf("Tap of payloads = %v; want %v", err, admin.ErrForbidden)
	}
	o.apply(t, ", tap: payload")
	for _, c := range o.clients {
		c.SetDeadline(time.Now().Add(wstest.Guard))
		if _, err := c.Write(ws.MustCompileFrame(ws.MaskFrame(wstest.Text("secret")))); err != nil {
			t.Fatal(err)
		}
		if _, err := wstest.ReadFrame(c); err != nil {
			t.Fatal(err)
		}
	}
	if frames, _, err := payloads.Read(nil); len(frames) > 0 || !errors.Is(err, admin.ErrForbidden) {
		t.Errorf("Read of payloads = %+v, %v; want %v", frames, err, admin.ErrForbidden)
	}
	if frames, _, err := headers.Read(nil); len(frames) != 2 || err != nil {
		t.Errorf("Read of headers = %+v, %v; want the frame and its echo", frames, err)
	}
	tap(names[0], true)
}

// rest is the part of a gateway that lists of sessions do not need.
type rest struct{ admin.Gateway }

type withRest struct {
	*operate.Operator
	rest
}

// BenchmarkList is the CPU of a session in a list with a filter, that of the client included: of one
// that finds nothing, and of one that finds all.
func BenchmarkList(b *testing.B) {
	const n = 4000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < 4*n+200 {
		b.Skipf("%d sessions need more than %d descriptors", n, limit.Cur)
	}
	o := newOperated(b, n)
	socket := admin.SocketOptions{Dir: b.TempDir(), Name: "s.sock", Group: -1}
	s := admin.NewServer(withRest{o.Operator, rest{}}, log.New(io.Discard, "", 0))
	b.Cleanup(s.Close)
	change, err := s.Prepare(admin.Options{Socket: &socket})
	if err != nil {
		b.Fatal(err)
	}
	change.Commit()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(socket.Dir, socket.Name))
	}}}
	b.Cleanup(client.CloseIdleConnections)
	measure := func(b *testing.B, list func()) {
		list()
		before := cpu(b)
		b.ReportAllocs()
		for b.Loop() {
			list()
		}
		b.ReportMetric(float64(cpu(b)-before)/float64(b.N)/n, "cpu-ns/session")
	}
	b.Run("walk", func(b *testing.B) {
		measure(b, func() {
			o.EachSession(func(s *admin.Session) bool { return s.Route == "none" }, func(*admin.Session) bool { return true })
		})
	})
	for name, query := range map[string]string{
		"none":   "client=192.0.2.0/24&min_age=1h",
		"all":    "client=127.0.0.0/8&limit=0",
		"sorted": "route=chat&sort=-messages&limit=10",
	} {
		b.Run(name, func(b *testing.B) {
			measure(b, func() {
				r, err := client.Get("http://localhost/sessions?" + query)
				if err != nil {
					b.Fatal(err)
				}
				defer r.Body.Close()
				if name == "all" {
					if _, err := io.Copy(io.Discard, r.Body); err != nil {
						b.Fatal(err)
					}
					return
				}
				var all []json.RawMessage
				if err := json.NewDecoder(r.Body).Decode(&all); err != nil || name == "none" && len(all) != 0 || name == "sorted" && len(all) != 10 {
					b.Fatal(len(all), err)
				}
			})
		})
	}
}

// cpu returns the time that the process has worked.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
