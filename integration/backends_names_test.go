package integration

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// servedBy asks until an answer comes from an address, and fails if a request has no answer.
func servedBy(t *testing.T, g *gateway, by string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	guard := time.After(wstest.Guard)
	for {
		status, body := answer(t, g)
		switch {
		case status != 200:
			t.Fatalf("status %d, want 200", status)
		case body == by:
			return
		}
		select {
		case <-tick.C:
		case <-guard:
			t.Fatalf("the last answer came from %s, want %s", body, by)
		}
	}
}

// A name leads elsewhere: new work follows, live sessions stay, and a name
// server that fails changes nothing.
func TestNamesThatChange(t *testing.T) {
	t.Parallel()
	first := startEndpoint(t, "127.0.0.1:0", "")
	_, port, _ := net.SplitHostPort(first.address)
	second := startEndpoint(t, "127.0.0.2:"+port, "")
	d := wstest.NewDNS(t)
	d.Set("app.test", wstest.Record{IP: netip.MustParseAddr("127.0.0.1")})
	g := start(t, fmt.Sprintf(`
backends: { app: { endpoints: ["app.test:%s"], dns: { server: %q, min_ttl: 20ms, max_ttl: 50ms } } }
routes: [{ path: /*, backend: app }]
`, port, d.Address))
	servedBy(t, g, first.address)
	p := wstest.Open(t, g.http, wstest.Handshake("/stays"))
	d.Set("app.test", wstest.Record{IP: netip.MustParseAddr("127.0.0.2")})
	servedBy(t, g, second.address)
	g.wait("request", func(r record) bool {
		return r.text("endpoint") == fmt.Sprintf("app.test:%s (%s)", port, second.address)
	})
	d.Break(true)
	g.wait("name could not be looked up; the last answer stays", nil)
	servedBy(t, g, second.address)
	g.reload("configuration reloaded", "shutdown_timeout: 15s", "shutdown_timeout: 16s")
	p.Send(wstest.Text("still here"))
	p.Expect(wstest.Text("still here"))
}

// SRV records say where the ports are, and which endpoint comes first.
func TestServices(t *testing.T) {
	t.Parallel()
	all := startEndpoints(t, 2)
	d := wstest.NewDNS(t)
	d.Set("here.test", wstest.Record{IP: netip.MustParseAddr("127.0.0.1")})
	records := make([]wstest.Record, len(all))
	for i, e := range all {
		_, port, _ := net.SplitHostPort(e.address)
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		records[i] = wstest.Record{Target: "here.test.", Port: uint16(n), Priority: uint16(i), Weight: 1}
	}
	d.Set("_http._tcp.test", records...)
	g := start(t, fmt.Sprintf(`
backends: { app: { endpoints: ["srv://_http._tcp.test"], dns: { server: %q, min_ttl: 20ms, max_ttl: 50ms } } }
routes: [{ path: /*, backend: app }]
`, d.Address))
	for range 5 {
		if status, body := answer(t, g); status != 200 || body != all[0].address {
			t.Fatalf("%d from %s, want the first priority, %s", status, body, all[0].address)
		}
	}
	all[0].kill()
	for range 20 {
		if status, body := answer(t, g); status != 200 || body != all[1].address {
			t.Fatalf("%d from %s, want the second priority, %s", status, body, all[1].address)
		}
	}
	d.Set("_http._tcp.test", records[1])
	servedBy(t, g, all[1].address)
}
