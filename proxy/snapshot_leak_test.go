package proxy

import (
	"fmt"
	"runtime"
	"testing"
	"time"
	"weak"

	"sluice/internal/wstest"
	"sluice/proxy/serve"
)

// No configuration is reachable any more when another is in force, although sessions and kept connections are from its time.
func TestOldConfigurationsAreCollected(t *testing.T) {
	text := `
listeners: [{address: "127.0.0.1:0", max_connections: %d}]
state_dir: "` + t.TempDir() + `"
backends: {a: {endpoints: ["` + echo(t) + `"], health: {check: tcp}}}
routes:
  - {name: kept, path: /ws, backend: a, websocket: {limits: {message_size: %dB}}}
  - {path: "/%d", backend: a}
`
	g, address := start(t, fmt.Sprintf(text, 100, 1000, 0))
	c := dial(t, address, "/ws")
	exchange1(t, c)
	var snapshots []weak.Pointer[snapshot]
	var serving []weak.Pointer[serve.Snapshot]
	for i := range 10 {
		now := g.current.Load()
		snapshots, serving = append(snapshots, weak.Make(now)), append(serving, weak.Make(now.Snapshot))
		g.apply(fmt.Sprintf(text, 100+i, 1001+i, i+1))
		exchange1(t, c)
	}
	reachable := func() (n int) {
		runtime.GC()
		for i := range snapshots {
			if snapshots[i].Value() != nil || serving[i].Value() != nil {
				n++
			}
		}
		return n
	}
	for end := time.Now().Add(wstest.Guard); reachable() > 0; {
		if time.Now().After(end) {
			t.Fatalf("%d of %d old configurations are reachable after %v", reachable(), len(snapshots), wstest.Guard)
		}
		runtime.Gosched()
	}
	exchange1(t, c)
}
