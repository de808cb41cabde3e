//go:build unix

package integration

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// many is a number that a make target sets.
func many(t *testing.T, name string, otherwise int) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv(name), strconv.Itoa(otherwise)))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// The parts of the configuration of TestManyReloads.
const (
	reloadRoutes   = 10
	reloadBackends = 5
)

// reloadConfig is a configuration in which some routes and backends may be missing.
type reloadConfig struct {
	route, backend int // that is missing; -1 if none is
	size           int // of the messages
	broken         bool
}

func (c reloadConfig) text(backends []*wstest.Backend, head string) string {
	var b strings.Builder
	b.WriteString(head + "backends:\n")
	for i, backend := range backends {
		address := backend.Address
		if i == c.backend {
			address = "127.0.0.1:9"
		}
		fmt.Fprintf(&b, "  b%d: { endpoints: [%s] }\n", i, address)
	}
	b.WriteString("routes:\n")
	for i := range reloadRoutes {
		if i != c.route {
			fmt.Fprintf(&b, "  - { name: r%d, path: /r%[1]d, backend: b%d, websocket: { limits: { message_size: %dB } } }\n", i, i%reloadBackends, c.size)
		}
	}
	if c.broken {
		b.WriteString("  - { path: /broken, backend: nowhere }\nvia: maybe\n")
	}
	return b.String()
}

// ends reports whether a session of a route ends.
func (c reloadConfig) ends(route int) bool {
	return route == c.route || route%reloadBackends == c.backend
}

// Many reloads take routes and endpoints away and bring them back, change limits and certificates, and each tenth
// file is broken. Exactly the sessions end whose route or endpoint went, with 1012, as many as the reload says; the
// others live through all of it, and the memory stays. SLUICE_RELOADS and SLUICE_RELOAD_SESSIONS say how many.
func TestManyReloads(t *testing.T) {
	t.Parallel()
	reloads, sessions := many(t, "SLUICE_RELOADS", 20), many(t, "SLUICE_RELOAD_SESSIONS", 50)
	var backends []*wstest.Backend
	for range reloadBackends {
		backends = append(backends, wstest.NewBackend(t, wstest.Echo))
	}
	g := start(t, "routes: [{ respond: {} }]")
	head, _, _ := strings.Cut(read(t, g.config), "routes:")
	apply := func(c reloadConfig) (output string, code int) {
		write(t, g.config, withEngine(c.text(backends, head)))
		return sluice(t, "reload", "--config", g.config)
	}
	all := reloadConfig{route: -1, backend: -1, size: 1 << 20}
	if output, code := apply(all); code != 0 {
		t.Fatalf("the first reload: exit code %d\n%s", code, output)
	}
	peers := make([]wstest.Peer, sessions)
	target := func(i int) wstest.Target { return []wstest.Target{g.http, g.https}[i/reloadRoutes%2] }
	open := func(i int) {
		peers[i] = wstest.Open(t, target(i), wstest.Handshake(fmt.Sprintf("/r%d?%d", i%reloadRoutes, i)))
	}
	for i := range peers {
		open(i)
	}
	cert, key := certificateOf(t, g)
	var memory int64
	for n := range reloads {
		c := all
		c.size += n % 3
		switch n % 10 {
		case 1, 6:
			c.route = n * 7 % reloadRoutes
		case 3, 8:
			c.backend = n % reloadBackends
		case 5:
			renewed := wstest.NewCA(t)
			newCert, newKey := renewed.Issue(t, "gateway.test")
			write(t, cert, read(t, newCert))
			write(t, key, read(t, newKey))
			g.https.TLS = renewed.Client("gateway.test")
		case 9:
			c.broken = true
		}
		var ending []int
		for i := range peers {
			if c.ends(i % reloadRoutes) {
				ending = append(ending, i)
			}
		}
		output, code := apply(c)
		switch want := fmt.Sprintf("kept %d sessions; ending %d", sessions-len(ending), len(ending)); {
		case c.broken && (code != 1 || !strings.Contains(output, "nowhere") || !strings.Contains(output, "via")):
			t.Fatalf("reload %d: exit code %d; want 1 and both mistakes in\n%s", n, code, output)
		case !c.broken && (code != 0 || !strings.Contains(output, want) || strings.Contains(output, "already")):
			t.Fatalf("reload %d: exit code %d; want 0 and %q in\n%s", n, code, want, output)
		}
		for _, i := range ending {
			peers[i].ExpectClose(1012)
			peers[i].ExpectEnd()
		}
		for i, p := range peers {
			if !c.ends(i % reloadRoutes) {
				text := fmt.Sprint(n, i)
				p.Send(wstest.Text(text))
				p.Expect(wstest.Text(text))
			}
		}
		if len(ending) > 0 {
			g.awaitOpen(t, sessions-len(ending))
			if output, code := apply(all); code != 0 {
				t.Fatalf("reload after reload %d: exit code %d\n%s", n, code, output)
			}
			for _, i := range ending {
				open(i)
			}
		}
		if n == reloads/2 {
			memory = statusOf(t, g).Memory.Used
		}
		if t.Failed() {
			return
		}
	}
	if now := statusOf(t, g).Memory.Used; now > memory*3/2+32<<20 {
		t.Errorf("%d bytes of memory after %d reloads, %d after half of them", now, reloads, memory)
	}
	for _, p := range peers {
		goodbye(p)
	}
}

// certificateOf returns the files of the certificate that a gateway serves.
func certificateOf(t *testing.T, g *gateway) (cert, key string) {
	t.Helper()
	_, rest, _ := strings.Cut(read(t, g.config), "certificates: [")
	if _, err := fmt.Sscanf(rest, "{ cert: %q, key: %q }", &cert, &key); err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// statusOfGateway is what tests read of the status.
type statusOfGateway struct{ Sessions, Memory struct{ Used int64 } }

func statusOf(t *testing.T, g *gateway) statusOfGateway {
	t.Helper()
	return operatedAs[statusOfGateway](t, g, "status")
}

// awaitOpen waits until so many sessions are open.
func (g *gateway) awaitOpen(t *testing.T, n int) {
	t.Helper()
	for range 10_000 {
		if statusOf(t, g).Sessions.Used == int64(n) {
			return
		}
	}
	t.Fatalf("there are not %d sessions", n)
}
