package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// soakRoutes are the paths of the routes of a soak. The last one comes and goes.
var soakRoutes = []string{"/stays/", "/goes/"}

const (
	patient    = "handshake_timeout: 1m"
	greetings  = 64  // handshakes under way at once
	mostGraves = 256 // connections of vanished peers that are held open
	passing    = 8   // goroutines that may be about to end at any moment
)

// TestSoak has many sessions open at once, of clients and backends that send messages of all
// sizes and leave in every way, while the configuration changes under them. Each session is
// checked when it has ended: what arrived is what was sent, in order, and up to where it was
// cut. The log says which side left, how and why. Its counters are exactly those of client and
// backend, or between the two where the session was cut. At the end nothing is left of any
// session.
//
// SOAK_TIME, SOAK_SESSIONS and SOAK_SCHEME (ws or wss) size it, as make soak does. SOAK_SEED
// repeats what was sent, but not how fast.
func TestSoak(t *testing.T) {
	schemes := []string{"ws", "wss"}
	if one := os.Getenv("SOAK_SCHEME"); one != "" {
		schemes = []string{one}
	}
	length := setting(t, "SOAK_TIME", 2*time.Second, time.ParseDuration)
	sessions := setting(t, "SOAK_SESSIONS", 200, strconv.Atoi)
	seed := setting(t, "SOAK_SEED", rand.Uint64(), func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) })
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			t.Logf("SOAK_SEED=%d", seed)
			newSoak(t, seed, scheme, sessions).run(length)
		})
	}
}

// setting returns what a variable of the environment says, if it is set.
func setting[T any](t *testing.T, name string, otherwise T, parse func(string) (T, error)) T {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	v, err := parse(text)
	if err != nil {
		t.Fatalf("%s=%s: %v", name, text, err)
	}
	return v
}

type soak struct {
	t        *testing.T
	seed     uint64
	sessions int
	pause    time.Duration // between the messages of a side, at most
	said     *said
	backend  net.Listener
	idle     int // goroutines of a gateway without a session
	gateway  *gateway
	target   wstest.Target
	greeting chan struct{} // holds an element for each handshake under way
	graves   chan net.Conn
	reloads  chan record // outcomes
	count    atomic.Uint64
	pauses   stillness
	excused  atomic.Uint64  // sessions that were not judged
	running  sync.WaitGroup // connections at the backend
	live     sync.Map       // of uint64 to *soaked

	mu     sync.Mutex
	causes map[string]int
}

func newSoak(t *testing.T, seed uint64, scheme string, sessions int) *soak {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &soak{
		t: t, seed: seed, sessions: sessions,
		// So that a processor has some 10,000 messages a second, whatever the number of sessions.
		pause:    time.Duration(sessions) * 400 * time.Microsecond,
		said:     newSaid(rand.New(rand.NewPCG(seed, 0))),
		backend:  l,
		greeting: make(chan struct{}, greetings),
		graves:   make(chan net.Conn, mostGraves),
		reloads:  make(chan record, 1),
		causes:   make(map[string]int),
	}
	s.running.Go(s.accept)
	t.Cleanup(func() {
		l.Close()
		s.running.Wait()
		close(s.graves)
		for c := range s.graves {
			c.Close()
		}
	})
	s.idle, _ = s.start().goroutines()
	s.gateway = s.start()
	s.target = s.gateway.schemes()[scheme]
	return s
}

// start starts a gateway whose servers have served a request.
func (s *soak) start() *gateway {
	s.t.Helper()
	g := start(s.t, s.routes(""))
	for scheme, target := range g.schemes() {
		wstest.Ask(s.t, target, get("/"+scheme))
		g.request("/" + scheme)
	}
	return g
}

// routes is the part of the configuration that changes. settings are of the
// sessions, goes is the last route.
func (s *soak) routes(goes string, settings ...string) string {
	return fmt.Sprintf(`routes:
  - { path: %s*, backend: %s, websocket: { %s } }
  %s
`, soakRoutes[0], s.backend.Addr(), strings.Join(append([]string{patient}, settings...), ", "), goes)
}

// run is the soak.
func (s *soak) run(length time.Duration) {
	before := s.gateway.look()
	s.gateway.divert(s.log)

	ctx, cancel := context.WithTimeout(s.t.Context(), length)
	defer cancel()
	var workers sync.WaitGroup
	watching, stop := context.WithCancel(context.Background())
	var watched sync.WaitGroup
	watched.Go(func() { s.pauses.watch(watching) })
	for range s.sessions {
		workers.Go(func() {
			for ctx.Err() == nil && !s.t.Failed() {
				err := s.play(ctx)
				// Nothing of the kind explains bytes that were not sent.
				if _, wrong := errors.AsType[fault](err); err != nil && !wrong && s.pauses.lately() {
					s.excused.Add(1)
					continue
				}
				s.check(err)
			}
		})
	}
	s.reload(ctx, min(length/10, 2*time.Second))
	workers.Wait()
	stop()
	watched.Wait()
	if n := s.excused.Load(); n > s.count.Load()/100 {
		s.t.Errorf("%d of %d sessions could not be judged, as the test did not run for a while when they ended: the machine has too much other work", n, s.count.Load())
	} else if n > 0 {
		s.t.Logf("%d sessions were not judged: the test did not run for a while when they ended", n)
	}

	s.t.Logf("%d sessions, which ended: %v", s.count.Load(), s.causes)
	after := s.gateway.look()
	most := peak(s.t, s.gateway.pid)
	defer func() { s.t.Logf("before: %v; after: %v; %d MiB resident at most", before, after, most>>20) }()
	eventually(s.t, "only what was there before is left", func() bool { after = s.gateway.look(); return after.settled(before) })
	if n, list := s.gateway.goroutines(); n > s.idle+passing {
		s.t.Errorf("%d goroutines are left, want about the %d of a gateway without a session:\n%s", n, s.idle, list)
	}
}

func (s *soak) check(err error) {
	if err != nil {
		s.t.Error(err)
	}
}

// log takes the records of the gateway.
func (s *soak) log(r record) {
	switch r.name() {
	case "session ended", "request":
		_, number, _ := strings.Cut(strings.TrimPrefix(r.text("uri"), "/"), "/")
		n, err := strconv.ParseUint(number, 10, 64)
		if x, ok := s.live.Load(n); err == nil && ok {
			select {
			case x.(*soaked).logged <- r:
				return
			default:
			}
		}
		s.t.Errorf("a record of no session, or the second one: %s", r.text("text"))
	case "configuration reloaded", "configuration refused":
		s.reloads <- r
	default:
		if level := r.text("level"); level != "info" && level != "debug" {
			s.t.Errorf("the gateway logged: %s", r.text("text"))
		}
	}
}

// reload changes the configuration at intervals until ctx ends, at random.
func (s *soak) reload(ctx context.Context, interval time.Duration) {
	head, _, _ := strings.Cut(read(s.t, s.gateway.config), "routes:")
	random := rand.New(rand.NewPCG(s.seed, 1))
	some := func(all ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(string) bool { return random.IntN(3) > 0 })
	}
	limits := func(key string, more ...string) string {
		return fmt.Sprintf("%s: { %s }", key, strings.Join(append([]string{"frame_size: 900KiB"}, some(more...)...), ", "))
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		traffic := []string{"message_size: 512KiB", "message_rate: 200/s, message_burst: 10", "byte_rate: 2MiB/s"}
		settings := some(
			limits("limits", append(traffic, limits("backend", traffic...))...),
			"ping_interval: 50ms, pong_timeout: 5m", "buffer_size: 16KiB", "keepalive: 1s", "idle_timeout: 10m", "max_lifetime: "+(5*interval).String(),
		)
		goes := fmt.Sprintf("- { path: %s*, backend: %s, websocket: { %s } }", soakRoutes[1], s.backend.Addr(), patient)
		if random.IntN(4) == 0 {
			goes = ""
		}
		want := "configuration reloaded"
		if random.IntN(8) == 0 {
			goes, want = "- nonsense", "configuration refused"
		}
		if !s.gateway.reloadDiverted(want, head+s.routes(goes, settings...), s.reloads) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
