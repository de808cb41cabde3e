package integration

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// slowhttptest opens many connections and is slow on each of them, in four ways. Other clients
// are served meanwhile.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	needCommands(t, "slowhttptest")
	allowed := generous(96 << 20)
	page := strings.Repeat("a page ", 100_000)
	files := t.TempDir()
	write(t, files+"/page.txt", page)
	b := newRecorder(t)
	g := start(t, fmt.Sprintf(`
routes:
  - { path: /*, backend: %s }
  - { path: /files/*, strip_prefix: /files, files: %q }
`, b.Address, files))
	before := peak(t, g.pid)
	stop := neighbour(t, g, "/neighbour")
	attacks := map[string][]string{
		"headers": {"-H", "-i", "1", "-u", g.http.URL("/slow")},
		"bodies":  {"-B", "-i", "1", "-s", "8192", "-x", "10", "-u", g.http.URL("/slow")},
		"ranges":  {"-R", "-a", "5", "-b", "3000", "-u", g.http.URL("/files/page.txt")},
		"reading": {"-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "32", "-k", "3", "-u", g.http.URL("/files/page.txt")},
	}
	var running sync.WaitGroup
	for name, args := range attacks {
		running.Go(func() {
			args = append([]string{"-c", "200", "-r", "100", "-l", "10", "-p", "20"}, args...)
			out, err := command(t, "slowhttptest", args...).CombinedOutput()
			if text := string(out); err != nil || !strings.Contains(text, "Test ended") && !strings.Contains(text, "test ended") {
				t.Errorf("%s: slowhttptest: %v\n%s", name, err, text)
			} else if strings.Contains(text, "service available:   NO") {
				t.Errorf("%s: slowhttptest found the service unavailable:\n%s", name, text)
			}
		})
	}
	running.Wait()
	if stop() == 0 {
		t.Error("no request of another client was answered")
	}
	if grown := peak(t, g.pid) - before; grown > allowed {
		t.Errorf("the gateway grew by %d MiB, want at most %d", grown>>20, allowed>>20)
	}
}
