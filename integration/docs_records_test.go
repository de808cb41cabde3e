//go:build unix

package integration

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"sluice/internal/wstest"
)

// The example of a session in operations.md has the fields of a real one, in their order,
// and the page names every field that a gateway logs when it meets a bit of everything.
func TestOperationsShowsRealRecords(t *testing.T) {
	t.Parallel()
	page := read(t, "../docs/operations.md")
	b := wstest.NewBackend(t, wstest.Accepting(wstest.EchoFrames, "Sec-WebSocket-Protocol: chat.v1"))
	nowhere := wstest.Reserve(t)
	g := start(t, fmt.Sprintf(`
backends:
  chat: { endpoints: [%s] }
  dead: { endpoints: [%s], health: { check: tcp, interval: 100ms, fall: 1 } }
routes:
  - { name: chat, path: /ws, backend: chat, websocket: { subprotocols: [chat.v1], limits: { message_size: 1KiB } } }
  - { name: dead, path: /dead, backend: dead }
`, b.Address, nowhere))
	g.wait("endpoint is down", nil)
	wstest.Ask(t, g.http, get("/dead"))
	p := wstest.Open(t, g.https, wstest.Handshake("/ws", "Sec-WebSocket-Protocol: chat.v1"))
	p.Send(wstest.Text(strings.Repeat("x", 2000)))
	p.ExpectClose(1009)
	g.ended("/ws")
	g.signal(syscall.SIGUSR1)
	g.wait("status of an endpoint", nil)
	g.reload("configuration reloaded", "", "")
	g.signal(syscall.SIGTERM)
	g.exit()

	shown := make(map[string][]string) // by message: the fields of the example
	for _, m := range regexp.MustCompile("(?s)```json\n(.*?)\n```").FindAllStringSubmatch(page, -1) {
		shown[fieldsOf(t, m[1])["message"]] = order(t, m[1])
	}
	for _, r := range g.log() {
		text := r.text("text")
		if r.text("message") == "" {
			t.Errorf("this is no record: %s", text)
			continue
		}
		for _, field := range order(t, text) {
			if !strings.Contains(page, "`"+field+"`") {
				t.Errorf("docs/operations.md does not name the field %q of %s", field, text)
			}
		}
		want, ok := shown[r.text("message")]
		if ok && r.text("message") == "session ended" && !slices.Equal(order(t, text), want) {
			t.Errorf("docs/operations.md shows\n%q\nin place of\n%q", want, order(t, text))
		}
	}
	if len(shown) < 2 {
		t.Errorf("docs/operations.md has examples of %d records, want 2 at least", len(shown))
	}
}

// fieldsOf returns the fields of a record that are texts.
func fieldsOf(t *testing.T, line string) map[string]string {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal([]byte(line), &all); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	texts := make(map[string]string)
	for name, value := range all {
		if text, ok := value.(string); ok {
			texts[name] = text
		}
	}
	return texts
}

// order returns the names of the fields of a record, in their order.
func order(t *testing.T, line string) (names []string) {
	t.Helper()
	in := json.NewDecoder(strings.NewReader(line))
	depth, key := 0, true
	for {
		token, err := in.Token()
		if err != nil {
			return names
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
			continue
		case json.Delim('}'), json.Delim(']'):
			depth--
		default:
			if depth == 1 && key {
				names = append(names, token.(string))
				key = false
				continue
			}
		}
		if depth == 1 {
			key = true
		}
	}
}
