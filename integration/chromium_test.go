package integration

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// talk is a call of the page's talk(): one WebSocket of the browser.
type talk struct {
	name    string
	url     string
	options map[string]any
	want    seen
}

// seen is what the browser told a page about one WebSocket.
type seen struct {
	Opened     bool   `json:"opened"`
	Error      bool   `json:"error"`
	Echoes     []any  `json:"echoes"`
	Protocol   string `json:"protocol"`
	Extensions string `json:"extensions"`
	Code       int    `json:"code"`
	Reason     string `json:"reason"`
	WasClean   bool   `json:"wasClean"`
}

// visit is one page in headless Chromium.
type visit struct {
	Status  int    `json:"status"`
	Heading string `json:"heading"`
	Secure  bool   `json:"secure"`
	Results []seen `json:"results"`
}

// browse loads a page of the gateway and makes it talk. The browser accepts the certificate of
// the gateway, and no other one without a public root.
func browse(t *testing.T, target wstest.Target, url string, talks []talk) visit {
	t.Helper()
	need(t, "/usr/bin/chromium", "--version")
	needNode(t, "playwright-core")
	leaf := wstest.Dial(t, target).Conn.Conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
	spki := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	calls := make([][2]any, 0, len(talks))
	for _, k := range talks {
		calls = append(calls, [2]any{k.url, k.options})
	}
	plan, err := json.Marshal(map[string]any{
		"page":    url,
		"spki":    base64.StdEncoding.EncodeToString(spki[:]),
		"resolve": "MAP *.test 127.0.0.1",
		"talks":   calls,
	})
	if err != nil {
		t.Fatal(err)
	}
	var v visit
	if err := json.Unmarshal([]byte(toolReading(t, plan, "node", testdata("browser.mjs"))), &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Results) != len(talks) {
		t.Fatalf("%d results of %d calls", len(v.Results), len(talks))
	}
	return v
}

func TestChromium(t *testing.T) {
	t.Parallel()
	needPython(t, "txws")
	pages := httptest.NewServer(http.FileServer(http.Dir("testdata")))
	t.Cleanup(pages.Close)
	echo := wstest.NewBackend(t, wstest.Echo)
	closing := wstest.NewBackend(t, wstest.Accepting(func(c *wstest.Conn) {
		if c.Send(wstest.Close(4002, "the server's reason ☃")) == nil {
			_, _ = c.Next()
		}
	}))
	dying := wstest.NewBackend(t, wstest.Dying("\x81\x05hello"))
	g := start(t, fmt.Sprintf(`
routes:
  - { path: /*, backend: %q }
  - { path: /echo, backend: %[2]s }
  - { path: /same, backend: %[2]s, websocket: { origins: [same-origin] } }
  - { path: /refused, backend: %[2]s, websocket: { origins: ["https://other.test"] } }
  - { path: /closing, backend: %[3]s }
  - { path: /dying, backend: %[4]s }
  - { path: /node, backend: %[5]q }
  - { path: /strip, backend: %[5]q, websocket: { compression: strip } }
  - { path: /txws, backend: %[6]q }
`, pages.URL, echo.Address, closing.Address, dying.Address,
		server(t, "node", testdata("ws_server.mjs")), server(t, python, testdata("txws_echo.py"))))
	port := g.https.Address[strings.LastIndexByte(g.https.Address, ':'):]
	host := "gateway.test" + port
	large := strings.Repeat("large ", 200_000)

	send := func(messages ...any) map[string]any {
		return map[string]any{"send": messages, "close": []any{4001, "the page's reason"}}
	}
	echoed := func(messages ...any) seen {
		return seen{Opened: true, Echoes: messages, Code: 4001, Reason: "the page's reason", WasClean: true}
	}
	with := func(s seen, protocol, extensions string) seen {
		s.Protocol, s.Extensions = protocol, extensions
		return s
	}
	chat := send(large)
	chat["protocols"] = []string{"chat.v1", "chat.v2"}
	bytes := []any{0.0, 255.0, 129.0}
	talks := []talk{
		{"text and binary", "/echo", send("hello", "wörld ☃", bytes, ""), echoed("hello", "wörld ☃", bytes, "")},
		{"a large message", "/echo", send(large), echoed(large)},
		{"its own origin", "/same", send("hello"), echoed("hello")},
		{"a refused origin", "/refused", send(), seen{Error: true, Echoes: []any{}, Code: 1006}},
		{"a close by the server", "/closing", map[string]any{}, seen{Opened: true, Echoes: []any{}, Code: 4002, Reason: "the server's reason ☃", WasClean: true}},
		{"compression and a subprotocol", "/node", chat, with(echoed(large), "chat.v2", "permessage-deflate")},
		{"compression stripped", "/strip", send("hello"), echoed("hello")},
		{"Twisted", "/txws", send("hello", "twisted"), seen{Opened: true, Echoes: []any{"hello", "twisted"}, Code: 1005, WasClean: true}},
		{"a backend that dies", "/dying", map[string]any{}, seen{Opened: true, Echoes: []any{"hello"}, Code: 1014, WasClean: true}},
	}
	for i := range talks {
		talks[i].url = "wss://" + host + talks[i].url
	}
	v := browse(t, g.https, "https://"+host+"/page.html", talks)
	if v.Status != 200 || v.Heading != "Hello through the gateway" || !v.Secure {
		t.Errorf("page: status %d, heading %q, secure %t", v.Status, v.Heading, v.Secure)
	}
	for i, k := range talks {
		got := v.Results[i]
		if k.name == "a backend that dies" {
			// The text of the reason is not asserted.
			got.Reason = ""
		}
		if !reflect.DeepEqual(got, k.want) {
			t.Errorf("%s: the browser saw %.300s, want %.300s", k.name, fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", k.want))
		}
	}
}
