//go:build unix

package integration

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"sluice/internal/wstest"
)

const failing = `
backends:
  app:
    endpoints: [%s]
    health: { check: websocket, interval: 200ms, timeout: 5s, rise: 1, fall: 1 }
    passive: { failures: 3, statuses: [500], eject: 300ms }
    retry: { try_timeout: 5s, timeout: 60s }
routes: [{ path: /*, backend: app }]
`

// However one endpoint of three fails, no request and no handshake that could
// succeed fails, and the endpoint gets work again when it is well.
func TestFailingEndpoints(t *testing.T) {
	t.Parallel()
	tests := []trouble{
		{
			name:  "killed",
			begin: (*endpoint).kill,
			mend:  func(e *endpoint) { startEndpoint(e.t, e.address, "") },
		},
		{
			name:  "stopped",
			begin: (*endpoint).stop,
			mend:  func(e *endpoint) { e.signal(syscall.SIGCONT) },
		},
		replaced("slow", 0),
		replaced("reset", 0),
		replaced("500", 3),
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			all := startEndpoints(t, 3)
			g := start(t, fmt.Sprintf(failing, addresses(all)))
			served := make(map[string]int)
			requests, failed := 0, 0
			work := func() {
				t.Helper()
				status, p := shakeHands(t, g)
				switch {
				case status == 101:
					p.Send(wstest.Text("hello"))
					p.Expect(wstest.Text("hello"))
					p.Send(wstest.Close(1000, ""))
					p.ExpectClose(1000)
				case status == 500 && tt.errors > 0:
					failed++
				default:
					t.Errorf("handshake: %d, want 101", status)
				}
				requests++
				uri := fmt.Sprintf("/%d", requests)
				r, body := wstest.Ask(t, g.http, get(uri))
				switch {
				case r.StatusCode == 200:
					served[body]++
				case r.StatusCode == 500 && tt.errors > 0:
					failed++
				default:
					t.Errorf("status %d, want 200", r.StatusCode)
				}
				// The pool judges an endpoint by a request after the client has its answer,
				// and before its record: without this wait the next work could come first.
				g.request(uri)
			}
			for n := 0; len(served) < 3; n++ {
				if n == 100 {
					t.Fatalf("requests were served by %v, want all three", served)
				}
				work()
			}
			tt.begin(all[0])
			for range 40 {
				work()
			}
			down := func(r record) bool { return r.text("endpoint") == all[0].address }
			again := 0 // times that it was tried: if it fails then, it has no second chance
			for _, r := range g.log() {
				if r.name() == "endpoint is tried again" && down(r) {
					again++
				}
			}
			if tt.errors > 0 && failed > tt.errors+again {
				t.Errorf("%d answers of 500 were seen, want %d at most, and %d when it was tried again", failed, tt.errors, again)
			}
			g.wait("endpoint is down", down)
			tt.mend(all[0])
			before := len(g.log())
			for clear(served); served[all[0].address] == 0; {
				work()
				if len(g.log())-before > 10_000 {
					t.Fatal("the endpoint gets no work though it is well again")
				}
			}
		})
	}
}

// trouble is one way in which an endpoint fails.
type trouble struct {
	name   string
	begin  func(e *endpoint)
	mend   func(e *endpoint)
	errors int // answers of 500 that clients see at most
}

// replaced is the trouble that another process, which misbehaves as mode says, listens
// in place of the endpoint.
func replaced(mode string, errors int) trouble {
	var bad *endpoint
	return trouble{
		name: mode, errors: errors,
		begin: func(e *endpoint) { e.kill(); bad = startEndpoint(e.t, e.address, mode) },
		mend:  func(e *endpoint) { bad.kill(); startEndpoint(e.t, e.address, "") },
	}
}

// shakeHands sends a handshake and returns the status, and the session for a 101.
func shakeHands(t *testing.T, g *gateway) (int, wstest.Peer) {
	t.Helper()
	p := wstest.Dial(t, g.http)
	p.WriteString(wstest.Handshake("/"))
	p.ReadHead()
	status, err := strconv.Atoi(strings.Fields(p.Head.Start)[1])
	if err != nil {
		t.Fatalf("the handshake was answered with %q", p.Head.Start)
	}
	return status, p
}

// When all endpoints are gone, clients are told at once to come again.
func TestAllEndpointsDown(t *testing.T) {
	t.Parallel()
	all := startEndpoints(t, 2)
	g := start(t, fmt.Sprintf(failing, addresses(all)))
	for _, e := range all {
		e.kill()
	}
	for _, e := range all {
		g.wait("endpoint is down", func(r record) bool { return r.text("endpoint") == e.address })
	}
	for _, request := range []string{get("/"), wstest.Handshake("/")} {
		r, _ := wstest.Ask(t, g.http, request)
		if r.StatusCode != 503 || r.Header.Get("Retry-After") == "" {
			t.Errorf("status %d with Retry-After %q, want 503 and some", r.StatusCode, r.Header.Get("Retry-After"))
		}
	}
	startEndpoint(t, all[0].address, "")
	g.wait("endpoint is up", nil)
	if status, body := answer(t, g); status != 200 || body != all[0].address {
		t.Errorf("%d %q when one is up again", status, body)
	}
}

// stop returns when the endpoint stands still: its threads run on for a while after the
// signal, long enough to answer a handshake whose session is never served.
func (e *endpoint) stop() {
	e.t.Helper()
	e.signal(syscall.SIGSTOP)
	for {
		var status syscall.WaitStatus
		switch _, err := syscall.Wait4(e.cmd.Process.Pid, &status, syscall.WUNTRACED, nil); {
		case err == syscall.EINTR:
		case err != nil:
			e.t.Fatal(err)
		case status.Stopped():
			return
		default:
			e.t.Fatalf("the endpoint ended, and should stand still: %#x", status)
		}
	}
}

func (e *endpoint) signal(s syscall.Signal) {
	e.t.Helper()
	if err := e.cmd.Process.Signal(s); err != nil {
		e.t.Fatal(err)
	}
}
