//go:build linux

package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// mixedRoutes are the paths of the routes of a mix. The last one comes and goes.
var mixedRoutes = []string{"/tcp/", "/tls/", "/unix/", "/goes/"}

// mixedSchemes are the ways to the gateway. TLS 1.2 is always with net/http.
var mixedSchemes = []string{"TCP", "TLS 1.3", "TLS 1.2"}

// TestMix has many requests of all kinds under way at once, over TLS and without, on the event
// loops: bodies of all sizes in both directions, in chunks and with a length, pipelined and on
// kept connections, cut by either side, answered before they came whole; handshakes and
// sessions. Meanwhile endpoints die and come back, and the configuration changes, the engine
// too. Each body is compared byte by byte with what was sent, at both ends, and each record of
// the log with what the client got. At the end nothing is left of any request.
//
// MIX_TIME and MIX_CLIENTS size it, as make mix does. MIX_SEED repeats what was sent, but not
// how fast.
func TestMix(t *testing.T) {
	if portable() {
		t.Skip("there are no loops")
	}
	t.Parallel()
	length := setting(t, "MIX_TIME", 3*time.Second, time.ParseDuration)
	clients := setting(t, "MIX_CLIENTS", 16, strconv.Atoi)
	seed := setting(t, "MIX_SEED", rand.Uint64(), func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) })
	t.Logf("MIX_SEED=%d", seed)
	newMix(t, seed, clients).run(length)
}

type mix struct {
	t        *testing.T
	seed     uint64
	clients  int
	content  []byte // what bodies are parts of
	groups   []*group
	idle     int // goroutines of a gateway without a request
	gateway  *gateway
	targets  map[string]wstest.Target // by scheme
	running  sync.WaitGroup           // connections at the endpoints
	reloads  chan record              // outcomes
	statuses chan record              // of endpoints
	count    atomic.Uint64
	live     sync.Map // of uint64 to *request: those whose record may still come
	switches changes  // of the engine
	pauses   stillness
	excused  atomic.Uint64 // requests that were not judged

	mu          sync.Mutex
	statusCount map[int]int
}

func newMix(t *testing.T, seed uint64, clients int) *mix {
	t.Helper()
	m := &mix{
		t: t, seed: seed, clients: clients,
		content:     make([]byte, maxContent+maxOffset),
		reloads:     make(chan record, 1),
		statuses:    make(chan record, 16),
		statusCount: make(map[int]int),
	}
	random := rand.NewChaCha8([32]byte{byte(seed)})
	_, _ = random.Read(m.content) // never fails
	ca := wstest.NewCA(t)
	dir, err := os.MkdirTemp("", "mix-") // t.TempDir is too long a path for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m.groups = []*group{{name: "tcp"}, {name: "tls", ca: ca.File}, {name: "unix"}}
	for i := range endpointsOfGroup {
		m.groups[0].add(&mixedEndpoint{network: "tcp", address: wstest.Reserve(t)})
		m.groups[1].add(&mixedEndpoint{network: "tcp", address: wstest.Reserve(t), tls: ca.Server(t, "127.0.0.1")})
		m.groups[2].add(&mixedEndpoint{network: "unix", address: filepath.Join(dir, strconv.Itoa(i))})
	}
	t.Cleanup(func() {
		m.kill()
		m.running.Wait()
	})
	for _, g := range m.groups {
		for _, e := range g.endpoints {
			m.open(e)
		}
	}
	m.idle, _ = m.start().goroutines()
	m.gateway = m.start()
	tls13, tls12 := m.gateway.https, m.gateway.https
	tls13.TLS.NextProtos = []string{"http/1.1"}
	tls12.TLS = tls13.TLS.Clone()
	tls12.TLS.MaxVersion = tls.VersionTLS12
	m.targets = map[string]wstest.Target{mixedSchemes[0]: m.gateway.http, mixedSchemes[1]: tls13, mixedSchemes[2]: tls12}
	return m
}

// start starts a gateway whose servers have served a request.
func (m *mix) start() *gateway {
	m.t.Helper()
	g := start(m.t, m.routes("loops", "", nil))
	for scheme, target := range g.schemes() {
		wstest.Ask(m.t, target, get("/"+scheme))
		g.request("/" + scheme)
	}
	return g
}

// kill resets all connections of the endpoints, for ever.
func (m *mix) kill() {
	for _, g := range m.groups {
		for _, e := range g.endpoints {
			e.kill()
		}
	}
}

// routes is the part of the configuration that changes: the engine, what all routes have, and
// the settings of backends by their names.
func (m *mix) routes(engine, route string, settings map[string]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "http: { engine: %s }\nbackends:\n", engine)
	for _, g := range m.groups {
		fmt.Fprintf(&b, "  %s: { %s%s }\n", g.name, g.config(settings["endpoint"]), settings[g.name])
	}
	b.WriteString("routes:\n")
	for _, path := range mixedRoutes {
		name := strings.Trim(path, "/")
		if name == "goes" {
			if name = "tcp"; settings["goes"] != "" {
				continue
			}
		}
		fmt.Fprintf(&b, "  - { path: %s*, backend: %s%s }\n", path, name, route)
	}
	return b.String()
}

// run is the mix.
func (m *mix) run(length time.Duration) {
	before := m.gateway.look()
	m.gateway.divert(m.log)

	ctx, cancel := context.WithTimeout(m.t.Context(), length)
	defer cancel()
	watching, stop := context.WithCancel(context.Background())
	var watched, workers sync.WaitGroup
	watched.Go(func() { m.pauses.watch(watching) })
	for n := range m.clients {
		workers.Go(func() {
			random := rand.New(rand.NewPCG(m.seed, uint64(n)<<32|2))
			for ctx.Err() == nil && !m.t.Failed() {
				m.connect(ctx, random)
			}
		})
	}
	workers.Go(func() { m.disturb(ctx, min(length/3, 2*time.Second)) })
	m.reload(ctx, min(length/10, time.Second))
	workers.Wait()
	stop()
	watched.Wait()
	if n := m.excused.Load(); n > m.count.Load()/100 {
		m.t.Errorf("%d of %d requests could not be judged, as the test did not run for a while when they ended: the machine has too much other work", n, m.count.Load())
	}
	m.t.Logf("%d requests: %v", m.count.Load(), m.statusCount)

	m.kill() // what the gateway keeps for the next requests
	after := m.gateway.look()
	defer func() { m.t.Logf("before: %v; after: %v", before, after) }()
	eventually(m.t, "only what was there before is left", func() bool { after = m.gateway.look(); return after.settled(before) })
	m.checkRecords()
	m.checkStatus()
	if n, list := m.gateway.goroutines(); n > m.idle+passing {
		m.t.Errorf("%d goroutines are left, want about the %d of a gateway without a request:\n%s", n, m.idle, list)
	}
}

// checkRecords looks at the requests whose clients know nothing of their end: what an endpoint
// has seen of them comes into the log.
func (m *mix) checkRecords() {
	guard := time.After(wstest.LongGuard)
	m.live.Range(func(_, x any) bool {
		q := x.(*request)
		if q.received.Load() == 0 {
			return true
		}
		select {
		case <-q.logged:
		case <-guard:
			m.t.Errorf("%v: an endpoint got it, but it is not in the log", q)
			return false
		}
		return true
	})
}

// checkStatus asks for the status of the endpoints, none of which has any work.
func (m *mix) checkStatus() {
	m.gateway.signal(syscall.SIGUSR1)
	guard := time.After(wstest.Guard)
	for range endpointsOfGroup * len(m.groups) {
		select {
		case r := <-m.statuses:
			if r.number("requests") != 0 || r.number("sessions") != 0 {
				m.t.Errorf("an endpoint still has work: %s", r.text("text"))
			}
		case <-guard:
			m.t.Errorf("not all endpoints have told their status within %v", wstest.Guard)
			return
		}
	}
}

// log takes the records of the gateway.
func (m *mix) log(r record) {
	switch r.name() {
	case "request", "session ended":
		uri := r.text("uri")
		n, err := strconv.ParseUint(uri[strings.LastIndexByte(uri, '/')+1:], 10, 64)
		if x, ok := m.live.Load(n); err == nil && ok {
			select {
			case x.(*request).logged <- r:
				return
			default:
			}
		}
		m.t.Errorf("a record of no request, or the second one: %s", r.text("text"))
	case "configuration reloaded", "configuration refused":
		m.reloads <- r
	case "status of an endpoint":
		m.statuses <- r
	case "log records dropped":
		m.t.Errorf("the gateway logged: %s", r.text("text"))
	default:
		if r.text("level") == "error" {
			m.t.Errorf("the gateway logged: %s", r.text("text"))
		}
	}
}

// reload changes the configuration at intervals until ctx ends, at random. The last one has the
// loops again.
func (m *mix) reload(ctx context.Context, interval time.Duration) {
	head, _, _ := strings.Cut(read(m.t, m.gateway.config), "http:")
	random := rand.New(rand.NewPCG(m.seed, 1))
	tick := time.NewTicker(interval)
	defer tick.Stop()
	pick := func(all ...string) string { return all[random.IntN(len(all))] }
	for engine, over := "loops", false; !over && !m.t.Failed(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			over = true
		}
		next := engine
		if next = "loops"; !over && random.IntN(5) == 0 {
			next = "go"
		}
		settings := map[string]string{
			"goes":     pick("", "", "none"),
			"endpoint": pick("", "", ", max_requests: 4"),
		}
		for _, g := range m.groups {
			settings[g.name] = pick("", ", keepalive: { idle: off }", ", keepalive: { requests: 3 }", ", keepalive: { idle: 2, timeout: 100ms }") +
				pick("", ", passive: off", ", passive: { ratio: 50% }")
		}
		route := pick("", "", ", response: { set_headers: { X-New: yes } }", ", compress: true", ", max_body_size: 100MiB", ", min_body_rate: off")
		done := func() {}
		if next != engine {
			done = m.switches.begin()
		}
		engine = next
		if !m.gateway.reloadDiverted("configuration reloaded", head+m.routes(engine, route, settings), m.reloads) {
			return
		}
		done()
	}
}

// disturb has endpoints lose all their connections at intervals until ctx ends. Some are away
// for a while.
func (m *mix) disturb(ctx context.Context, interval time.Duration) {
	random := rand.New(rand.NewPCG(m.seed, 3))
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		g := m.groups[random.IntN(len(m.groups))]
		e := g.endpoints[random.IntN(len(g.endpoints))]
		done := g.disturbances.begin()
		if random.IntN(2) == 0 {
			e.reset()
		} else {
			e.kill()
			pause(random, interval/4)
			m.open(e)
		}
		done()
	}
}

// pause waits for a random time.
func pause(random *rand.Rand, most time.Duration) {
	<-time.After(time.Duration(random.Int64N(int64(most))))
}

// changes notes when something happened of which requests feel the effects.
type changes struct {
	mu    sync.Mutex
	going int
	begun []time.Time // all of them
	ended time.Time   // of the last one
}

// effects is how long a change may have effects after its end: an endpoint is ejected.
const effects = 2 * time.Second

// firstRequests is how much longer a server that stops waits for the first request of a
// connection: a client may send it in the moment in which that is over.
const firstRequests = 5 * time.Second

func (c *changes) begin() (done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.going++
	c.begun = append(c.begun, time.Now())
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.going--
		c.ended = time.Now()
	}
}

// touch reports whether there was one, or its effects, between began and now.
func (c *changes) touch(began time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.going > 0 || c.ended.After(began.Add(-effects))
}

// outlasted reports whether one began after began, or shortly before, and so long ago that servers which
// it has stopped have cut what was left.
func (c *changes) outlasted(began time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.begun, func(b time.Time) bool {
		return b.After(began.Add(-effects)) && time.Since(b) >= shutdownTimeout
	})
}

// part returns n bytes of a body, from byte pos on.
func (m *mix) part(offset, pos, n int) []byte {
	return m.content[offset+pos : offset+pos+n]
}

// compare compares bytes of a body that came with those that were sent. It returns what is
// wrong.
func (m *mix) compare(b []byte, offset, pos, size int) error {
	switch {
	case pos+len(b) > size:
		return fault(fmt.Sprintf("%d bytes came of a body of %d", pos+len(b), size))
	case !bytes.Equal(b, m.part(offset, pos, len(b))):
		return fault(fmt.Sprintf("other bytes came than were sent, in %d from byte %d of %d on", len(b), pos, size))
	}
	return nil
}
