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
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/internal/wstest"
)

// The tools of nghttp2 are an implementation of the protocol that is not ours.
func TestNghttp(t *testing.T) {
	t.Parallel()
	need(t, "nghttp", "--version")
	need(t, "h2load", "--version")
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %q }]", server(t, "node", testdata("http_server.mjs"))))
	out := tool(t, "nghttp", "--null-out", "--verbose", "--no-verify-peer", "--header=:authority: gateway.test", g.https.URL("/down?bytes=3000000"))
	if !strings.Contains(out, ":status: 200") {
		t.Errorf("nghttp wrote\n%.3000s", out)
	}
	for name, args := range map[string][]string{
		"HTTP/2 over TLS":   {"--requests=4000", "--clients=20", "--max-concurrent-streams=20", g.https.URL("/down?bytes=1000")},
		"HTTP/2, posting":   {"--requests=1000", "--clients=10", "--max-concurrent-streams=10", "--data=" + testdata("page.html"), g.https.URL("/up")},
		"HTTP/1.1":          {"--requests=2000", "--clients=20", "--h1", g.http.URL("/down?bytes=1000")},
		"HTTP/1.1 over TLS": {"--requests=2000", "--clients=20", "--h1", g.https.URL("/down?bytes=1000")},
	} {
		out := tool(t, "h2load", args...)
		if !strings.Contains(out, " 0 failed, 0 errored, 0 timeout") || !strings.Contains(out, " 0 3xx, 0 4xx, 0 5xx") {
			t.Errorf("%s: h2load wrote\n%s", name, out)
		}
	}
}

// wrk is another client of HTTP/1.1. It tells of socket errors and of other answers than 2xx and 3xx
// only where there are some.
func TestWrk(t *testing.T) {
	t.Parallel()
	needCommands(t, "wrk")
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %q }]", server(t, "node", testdata("http_server.mjs"))))
	for name, args := range map[string][]string{
		"GET":            {g.http.URL("/down?bytes=1000")},
		"GET over TLS":   {g.https.URL("/down?bytes=1000")},
		"large":          {g.http.URL("/down?bytes=300000")},
		"POST":           {"--script=" + testdata("post.lua"), g.http.URL("/up")},
		"POST over TLS":  {"--script=" + testdata("post.lua"), g.https.URL("/up")},
		"new every time": {"--header=Connection: close", g.http.URL("/down?bytes=1000")},
	} {
		args = append([]string{"--threads=2", "--connections=20", "--duration=1s", "--timeout=2m"}, args...)
		for requests := 0; requests == 0 && !t.Failed(); { // a machine that stands still may leave it no time for one
			out := tool(t, "wrk", args...)
			if match := wrkRequests.FindStringSubmatch(out); match != nil {
				requests, _ = strconv.Atoi(match[1]) // digits
			}
			if !wrkRequests.MatchString(out) || strings.Contains(out, "Socket errors") || strings.Contains(out, "Non-2xx") {
				t.Errorf("%s: wrk wrote\n%s", name, out)
			}
		}
	}
}

// wrkRequests is what wrk says about how many requests were answered.
var wrkRequests = regexp.MustCompile(`(?m)^ *(\d+) requests in `)

func TestPythonBackends(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"HTTP/1.0", "HTTP/1.1"} {
		g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %q }]", server(t, python, testdata("http_server.py"), version)))
		for scheme, target := range g.schemes() {
			t.Run(version+"/"+scheme, func(t *testing.T) {
				for n := range 3 {
					path := fmt.Sprintf("/page/%d?a=b", n)
					if r, body := wstest.Ask(t, target, get(path)); r.StatusCode != 200 || body != "GET "+path+" gateway.test" {
						t.Errorf("GET: status %d, body %q", r.StatusCode, body)
					}
					if r, _ := wstest.Ask(t, target, strings.Replace(get(path), "GET", "HEAD", 1)); r.StatusCode != 200 || r.ContentLength <= 0 {
						t.Errorf("HEAD: status %d, Content-Length %d", r.StatusCode, r.ContentLength)
					}
					for _, request := range []string{post("hello", "Content-Length: 5", "Connection: close"), post("3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "Transfer-Encoding: chunked", "Connection: close")} {
						if r, body := wstest.Ask(t, target, request); r.StatusCode != 200 || body != "POST 5" {
							t.Errorf("POST: status %d, body %q", r.StatusCode, body)
						}
					}
				}
			})
		}
	}
}

// A page in Chromium uploads and downloads 100 MiB, listens to events and gives
// up a request, all over HTTP/2.
func TestChromiumFetches(t *testing.T) {
	t.Parallel()
	need(t, "/usr/bin/chromium", "--version")
	needNode(t, "playwright-core")
	const size = 100 << 20
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %q }]", server(t, "node", testdata("http_server.mjs"))))
	leaf := wstest.Dial(t, g.https).Conn.Conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
	spki := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	plan, err := json.Marshal(map[string]any{
		"page":    "https://gateway.test" + g.https.Address[strings.LastIndexByte(g.https.Address, ':'):] + "/page.html",
		"spki":    base64.StdEncoding.EncodeToString(spki[:]),
		"resolve": "MAP *.test 127.0.0.1",
		"bytes":   size,
		"events":  3,
	})
	if err != nil {
		t.Fatal(err)
	}
	type saw struct {
		Uploaded, Downloaded int
		Heard                []string
		Aborted, Protocol    string
	}
	var got saw
	if err := json.Unmarshal([]byte(tool(t, "node", testdata("fetch.mjs"), string(plan))), &got); err != nil {
		t.Fatal(err)
	}
	want := saw{size, size, []string{"event 0", "event 1", "event 2"}, "AbortError", "h2"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the page saw %+v, want %+v", got, want)
	}
}

func TestCurlSeesPartsAndHeads(t *testing.T) {
	t.Parallel()
	need(t, "curl", "--version")
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "page.html", time.Time{}, strings.NewReader("0123456789"))
	}))
	t.Cleanup(b.Close)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %q }]", b.URL))
	for name, want := range map[string]string{"--include": "0123456789", "--range 2-4": "234", "--head": "content-length: 10"} {
		for _, url := range []string{g.http.URL("/"), g.https.URL("/")} {
			if out := tool(t, "curl", append(strings.Fields(name), "--silent", "--show-error", "--cacert", g.ca, url)...); !strings.Contains(strings.ToLower(out), want) {
				t.Errorf("curl %s %s printed %q, want %q in it", name, url, out, want)
			}
		}
	}
}
