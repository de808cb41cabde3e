//go:build linux

package integration

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// manyGuard bounds what many sessions do at once, on an emulated machine too.
const manyGuard = 10 * wstest.LongGuard

// Many sessions are listed, counted and ended: MANY_SESSIONS of them, as make many does. The memory of
// the gateway does not grow by lists.
func TestManySessions(t *testing.T) {
	n := setting(t, "MANY_SESSIONS", 1000, strconv.Atoi)
	b := wstest.NewBackend(t, wstest.Accepting(wstest.EchoFrames))
	g := operated(t, fmt.Sprintf(`
backends: { app: { endpoints: [%q], connect_timeout: 1m } }
routes:
  - { name: even, path: /0, backend: app, websocket: { handshake_timeout: 5m } }
  - { name: odd, path: /1, backend: app, websocket: { handshake_timeout: 5m } }
`, b.Address))
	limit := operatedAs[struct{ Descriptors struct{ Limit int } }](t, g, "status").Descriptors.Limit
	if most := limit * 45 / 100; most < n { // two for a session, here as there, and some for the rest
		t.Logf("%d sessions in place of %d: a process may have %d descriptors", most, n, limit)
		n = most
	}
	clients := make([]net.Conn, n)
	openers := make(chan int)
	var opening sync.WaitGroup
	for range 16 {
		opening.Go(func() {
			for i := range openers {
				clients[i] = openSession(t, g.http, "/"+strconv.Itoa(i%2))
			}
		})
	}
	for i := range n {
		openers <- i
	}
	close(openers)
	opening.Wait()
	if t.Failed() {
		return
	}
	var closing sync.WaitGroup
	t.Cleanup(func() {
		for _, c := range clients {
			c.Close()
		}
		closing.Wait()
	})

	operators := g.operators("unix")
	ask := func(request string) string {
		t.Helper()
		c, err := net.Dial("unix", strings.TrimPrefix(operators.Address, "unix:"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(manyGuard))
		fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", request)
		r, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("%s: %v", request, err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s, %v", request, r.StatusCode, body, err)
		}
		return string(body)
	}
	list := func(query string) (all []session) {
		t.Helper()
		if err := json.Unmarshal([]byte(ask("GET /sessions?"+query)), &all); err != nil {
			t.Fatalf("/sessions?%s: %v", query, err)
		}
		return all
	}
	eventually(t, "all sessions are listed", func() bool { return len(list("limit=0")) == n }) // a 101 may come before
	for _, tt := range []struct {
		query string
		want  int
	}{
		{"limit=0", n}, {"", min(n, 1000)}, {"route=even&limit=0", (n + 1) / 2}, {"client=127.0.0.0/8&max_messages=0&limit=0", n},
		{"route=none", 0}, {"min_age=1h", 0}, {"sort=-opened&limit=10", 10}, {"sort=client&limit=0", n},
	} {
		all := list(tt.query)
		names := make(map[string]bool)
		for _, s := range all {
			names[s.Session] = true
		}
		if len(all) != tt.want || len(names) != tt.want {
			t.Errorf("/sessions?%s has %d sessions with %d names, want %d", tt.query, len(all), len(names), tt.want)
		}
	}

	look := func(rounds int) view {
		for i := range rounds {
			ask("GET /sessions?" + [...]string{"limit=0", "sort=-bytes&limit=0"}[i%2])
		}
		return g.look()
	}
	const rounds, spans = 100, 5
	bound := 8<<20 + 2<<10*n // bytes; lists that are kept would take 17 KiB a session in each span
	flat := false            // the heap grows for other reasons, but not in every span
	var views []string
	for before := look(rounds); !flat && len(views) < spans; {
		after := look(rounds)
		flat = after.resident <= before.resident+bound
		views = append(views, fmt.Sprintf("from %v to %v", before, after))
		before = after
	}
	if !flat {
		t.Errorf("%d lists of %d sessions take the gateway %s", rounds, n, strings.Join(views, ", then "))
	}

	for _, c := range clients {
		closing.Go(func() {
			c.SetDeadline(time.Now().Add(manyGuard))
			f, err := wstest.ReadFrame(c)
			code, reason := ws.ParseCloseFrameData(f.Payload)
			if err != nil || f.Header.OpCode != ws.OpClose || code != 4001 || reason != "moving" {
				t.Errorf("a client got %+v, %d %q, %v; want a Close frame of 4001", f.Header, code, reason, err)
				return
			}
			ws.WriteFrame(c, ws.MaskFrame(wstest.Close(4001, "")))
			if _, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("behind the Close frames a client got %v, want the end", err)
			}
		})
	}
	// The clients listen already, as they have five seconds to answer; 200 sessions a second are a pace that
	// an emulated machine keeps.
	spread := time.Duration(n) * 5 * time.Millisecond
	var ended struct{ Sessions int }
	if err := json.Unmarshal([]byte(ask("DELETE /sessions?all=true&code=4001&reason=moving&spread="+spread.String())), &ended); err != nil || ended.Sessions != n {
		t.Errorf("%d sessions are ended, want %d; %v", ended.Sessions, n, err)
	}
	closing.Wait()
	eventually(t, "no session is listed", func() bool { return len(list("limit=0")) == 0 })
	var ends []record
	if err := json.Unmarshal([]byte(ask("GET /ends")), &ends); err != nil || len(ends) != 100 {
		t.Errorf("%d ends are remembered, want 100; %v", len(ends), err)
	}
	eventually(t, "every session has its record", func() bool { return g.count("session ended") == n })
	for _, r := range g.log() {
		if r.name() == "session ended" && r.text("cause") != "ended by operator" {
			t.Fatalf("a session has ended otherwise: %s", r.text("text"))
		}
	}
}

// openSession opens a session without a goroutine of its own.
func openSession(t *testing.T, target wstest.Target, path string) net.Conn {
	c, err := net.Dial("tcp", target.Address)
	if err != nil {
		t.Error(err)
		return nil
	}
	c.SetDeadline(time.Now().Add(manyGuard))
	if _, err = io.WriteString(c, wstest.Handshake(path)); err == nil {
		var r *http.Response
		if r, err = http.ReadResponse(bufio.NewReader(c), nil); err == nil && r.StatusCode != http.StatusSwitchingProtocols {
			err = errors.New(r.Status)
		}
	}
	if err != nil {
		t.Errorf("a session: %v", err)
	}
	return c
}
