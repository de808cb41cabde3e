package integration

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// spellings are paths with each reserved character as a client may write it,
// and as a backend has to get them (RFC 3986, sections 2.2 and 6.2.2).
func spellings() map[string]string {
	all := map[string]string{"%7e%41%2D%5f%2e": "~A-_."}
	for _, c := range ":/?#[]@!$&'()*+,;=" {
		upper, lower := fmt.Sprintf("a%%%02Xb", c), fmt.Sprintf("a%%%02xb", c)
		all[upper], all[lower] = upper, upper
		if !strings.ContainsRune("/?#", c) { // bare they end a segment or the path
			all[fmt.Sprintf("a%cb", c)] = fmt.Sprintf("a%cb", c)
		}
	}
	return all
}

func TestReservedCharactersArriveAsTheyCame(t *testing.T) {
	t.Parallel()
	b := newRecorder(t)
	stream := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Target", r.RequestURI)
	}))
	var protocols http.Protocols
	protocols.SetHTTP1(true) // for handshakes: it offers no RFC 8441
	protocols.SetUnencryptedHTTP2(true)
	stream.Config.Protocols = &protocols
	stream.Start()
	t.Cleanup(stream.Close)
	g := start(t, fmt.Sprintf(`
routes:
  - { path: /as-it-is/*, backend: %[1]s }
  - { path: /stripped/*, backend: %[1]s, strip_prefix: /stripped }
  - { path: /rewritten/*, backend: %[1]s, rewrite: "/to;a%%3bb/*" }
  - { path: /h2/*, backend: "h2c://%[2]s" }
`, b.Address, stream.Listener.Addr()))
	ways := map[string]func(path string) (target string){
		"HTTP/1.1": func(path string) string {
			r, _ := wstest.Ask(t, g.http, get(path))
			return r.Header.Get("X-Target")
		},
		"HTTP/2": func(path string) string {
			s := dial2(t, g.https)
			defer s.conn.Close()
			if err := s.open(1, true, pseudo("GET", path)...); err != nil {
				t.Fatal(err)
			}
			all, err := s.outcomes(1)
			if err != nil {
				t.Fatal(err)
			}
			return all[1].target
		},
		"handshake": func(path string) string {
			r, _ := wstest.Ask(t, g.https, wstest.Handshake(path))
			return r.Header.Get("X-Target")
		},
	}
	for name, ask := range ways {
		t.Run(name, func(t *testing.T) {
			for sent, want := range spellings() {
				for prefix, to := range map[string]string{"/as-it-is/": "/as-it-is/", "/stripped/": "/", "/rewritten/": "/to;a%3Bb/", "/h2/": "/h2/"} {
					if got := ask(prefix + sent + "/é"); got != to+want+"/%C3%A9" {
						t.Errorf("%s arrived as %q, want %s", prefix+sent+"/é", got, to+want+"/%C3%A9")
					}
				}
			}
		})
	}
}

// A reserved character makes two paths, one with the character escaped and one without, for
// routes too.
func TestRoutesTellEscapedDelimitersApart(t *testing.T) {
	t.Parallel()
	g := start(t, `
routes:
  - { name: bare, path: /a;b, respond: { body: bare } }
  - { name: escaped, path: /a%3bb, respond: { body: escaped } }
  - { name: unreserved, path: /%63, respond: { body: unreserved } }
  - { path: "/x@y/*", redirect: /at/* }
  - { path: "/x%40y/*", redirect: /percent40/* }
`)
	for path, want := range map[string]string{
		"/a;b": "bare", "/%61;b": "bare", "/a%3Bb": "escaped", "/a%3bb": "escaped", "/./x/../a%3bb": "escaped", "/c": "unreserved",
		"/x@y/%2b+": "/at/%2B+", "/x%40y/[%5d": "/percent40/[%5D",
	} {
		r, body := wstest.Ask(t, g.http, get(path))
		if body != want && r.Header.Get("Location") != want {
			t.Errorf("%s: status %d, body %q, Location %q; want %q", path, r.StatusCode, body, r.Header.Get("Location"), want)
		}
		out, _ := sluice(t, "explain", "--config", g.config, "http://gateway.test"+path)
		if r.StatusCode == http.StatusOK && !strings.Contains(out, "route "+want+" ") {
			t.Errorf("explain %s says\n%s\nwant route %s", path, out, want)
		}
	}
}

// A redirect to https does not split at an escaped slash, whatever else is in
// the path.
func TestRedirectsToHTTPSKeepThePath(t *testing.T) {
	t.Parallel()
	ca := wstest.NewCA(t)
	cert, key := ca.Issue(t, "gateway.test")
	g := startFile(t, fmt.Sprintf(`
listeners:
  - { address: "127.0.0.1:0", redirect_https: true }
  - { address: "127.0.0.1:0", tls: true }
tls: { certificates: [{ cert: %q, key: %q }] }
log: { format: json }
state_dir: %q
routes: [{ respond: 200 }]
`, cert, key, t.TempDir()))
	target := wstest.Target{Address: g.listener(false)}
	_, port, _ := strings.Cut(g.listener(true), ":")
	for path, want := range map[string]string{
		`/a%2fb"!%21;c`: "/a%2Fb%22!%21;c", "/a?b=%2f": "/a?b=%2f", "/?": "/?", "//evil.test/%5c": "//evil.test/%5C",
	} {
		r, _ := wstest.Ask(t, target, get(path))
		if got := r.Header.Get("Location"); got != "https://gateway.test:"+port+want {
			t.Errorf("%s is redirected to %q, want %s behind the host", path, got, want)
		}
	}
}

func TestFilesAreNamedByDecodedPaths(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a;b+c@d"), "found")
	write(t, filepath.Join(dir, "secret"), "secret")
	g := start(t, fmt.Sprintf("routes: [{ path: /*, files: %q }]", dir))
	for path, status := range map[string]int{
		"/a;b+c@d": 200, "/a%3Bb%2Bc%40d": 200, "/a%3bb+c@d": 200, "/x%2F..%2Fsecret": 404, "/%2Fsecret": 404, "/secret%00": 400,
	} {
		r, body := wstest.Ask(t, g.http, get(path))
		if r.StatusCode != status || status == 200 && body != "found" {
			t.Errorf("%s: status %d, body %q; want %d", path, r.StatusCode, body, status)
		}
	}
}
