package integration

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// Forwarding headers are believed from trusted proxies alone. The client is the nearest
// address that is not such a proxy.
func TestForwardedHeaders(t *testing.T) {
	t.Parallel()
	b := newRecorder(t)
	strangers := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	trusted := start(t, fmt.Sprintf("trusted_proxies: [127.0.0.1, \"::1\", 10.0.0.0/8]\nroutes: [{ path: /*, backend: %s }]", b.Address))
	const id = "0123456789abcdef-from-the-edge"
	tests := []struct {
		name   string
		lines  []string
		g      *gateway
		client string            // in the log
		want   map[string]string // at the backend
		never  string            // at the backend
	}{
		{
			name: "nothing is said", g: strangers, client: "127.0.0.1",
			want: map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "gateway.test"},
		},
		{
			name: "a stranger", g: strangers, client: "127.0.0.1", never: "6.6.6.6",
			lines: []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.test", "X-Forwarded-Port: 6666", "Forwarded: for=6.6.6.6;host=evil.test", "X-Real-IP: 6.6.6.6"},
			want:  map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "gateway.test"},
		},
		{name: "a stranger's host", g: strangers, client: "127.0.0.1", never: "evil.test", lines: []string{"Forwarded: host=evil.test", "X-Forwarded-Host: evil.test"}},
		{name: "a stranger's id", g: strangers, client: "127.0.0.1", never: id, lines: []string{"X-Request-Id: " + id}},
		{name: "a proxy's id", g: trusted, client: "127.0.0.1", lines: []string{"X-Request-Id: " + id}, want: map[string]string{"X-Request-Id": id}},
		{
			name: "a proxy", g: trusted, client: "203.0.113.7",
			lines: []string{"X-Forwarded-For: 203.0.113.7", "X-Forwarded-Proto: https", "X-Forwarded-Host: public.test"},
			want:  map[string]string{"X-Forwarded-For": "203.0.113.7, 127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "public.test"},
		},
		{name: "two proxies", g: trusted, client: "203.0.113.7", lines: []string{"X-Forwarded-For: 203.0.113.7, 10.1.2.3"}},
		{name: "two header lines", g: trusted, client: "203.0.113.7", lines: []string{"X-Forwarded-For: 203.0.113.7", "X-Forwarded-For: 10.1.2.3"}},
		{name: "a forged first hop", g: trusted, client: "203.0.113.7", lines: []string{"X-Forwarded-For: 10.6.6.6, 6.6.6.6, 203.0.113.7"}},
		{name: "proxies alone", g: trusted, client: "10.1.1.1", lines: []string{"X-Forwarded-For: 10.1.1.1, 10.2.2.2"}},
		{name: "IPv6", g: trusted, client: "2001:db8::7", lines: []string{"X-Forwarded-For: 2001:db8::7"}},
		{name: "garbage", g: trusted, client: "127.0.0.1", lines: []string{"X-Forwarded-For: unknown"}},
		{name: "garbage in front", g: trusted, client: "203.0.113.7", lines: []string{"X-Forwarded-For: <script>, 203.0.113.7"}},
		{name: "Forwarded", g: trusted, client: "203.0.113.7", lines: []string{"Forwarded: for=203.0.113.7;proto=https;host=public.test"},
			want: map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "public.test"}},
		{name: "Forwarded with IPv6 and a port", g: trusted, client: "2001:db8::7", lines: []string{`Forwarded: for="[2001:db8::7]:4711";proto=http`}},
		{name: "the scheme of a WebSocket", g: trusted, client: "127.0.0.1", lines: []string{"X-Forwarded-Proto: wss"},
			want: map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-Port": "443", "Forwarded": `for=127.0.0.1;proto=https;host="gateway.test"`}},
		{name: "the way in X-Forwarded-For alone", g: trusted, client: "2001:db8::7", lines: []string{"X-Forwarded-For: 2001:db8::7, 10.1.2.3"},
			want: map[string]string{"X-Forwarded-For": "2001:db8::7, 10.1.2.3, 127.0.0.1", "Forwarded": `for="[2001:db8::7]", for=10.1.2.3, for=127.0.0.1;proto=http;host="gateway.test"`}},
		{name: "the way in Forwarded alone", g: trusted, client: "2001:db8::7", lines: []string{`Forwarded: for="[2001:db8::7]:99";proto=https, for=10.1.2.3`},
			want: map[string]string{"X-Forwarded-For": "2001:db8::7, 10.1.2.3, 127.0.0.1", "Forwarded": `for="[2001:db8::7]:99";proto=https, for=10.1.2.3, for=127.0.0.1;proto=http;host="gateway.test"`}},
		{name: "the way in both", g: trusted, client: "203.0.113.7", never: "6.6.6.6", lines: []string{"X-Forwarded-For: 203.0.113.7", "Forwarded: for=6.6.6.6;proto=https;host=evil.test"},
			want: map[string]string{"Forwarded": `for=203.0.113.7, for=127.0.0.1;proto=http;host="gateway.test"`}},
		{name: "Forwarded with an open quote", g: trusted, client: "127.0.0.1", never: "6.6.6.6", lines: []string{`Forwarded: for=6.6.6.6;host="x`},
			want: map[string]string{"X-Forwarded-For": "127.0.0.1"}},
		{name: "a trusted proxy's client in another spelling", g: trusted, client: "127.0.0.1", never: "6.6.6.6", lines: []string{"X_Forwarded_For: 6.6.6.6", "X-Forwarded_Host: 6.6.6.6", "X-Client-Subject: 6.6.6.6"}},
		{name: "what more a trusted proxy says", g: trusted, client: "127.0.0.1", lines: []string{"X-Forwarded-Prefix: /app"}, want: map[string]string{"X-Forwarded-Prefix": "/app"}},
		{name: "Forwarded in a list", g: trusted, client: "203.0.113.7", lines: []string{"Forwarded: for=6.6.6.6, for=203.0.113.7, for=10.1.2.3"}},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := fmt.Sprintf("/%d", i)
			if r, body := wstest.Ask(t, tt.g.http, get(path, tt.lines...)); r.StatusCode != http.StatusOK {
				t.Fatalf("status %d, body %q", r.StatusCode, body)
			}
			seen := b.below(path)
			q := seen[len(seen)-1]
			for name, want := range tt.want {
				if got := strings.Join(q.Values(name), ", "); got != want {
					t.Errorf("%s = %q, want %q", name, got, want)
				}
			}
			if tt.never != "" && strings.Contains(q.String(), tt.never) {
				t.Errorf("%q is in\n%s", tt.never, q)
			}
			if q.Get("X-Request-Id") == "" {
				t.Errorf("no X-Request-Id in\n%s", q)
			}
			if r := tt.g.request(path); !fromAddress(r.text("client"), tt.client) {
				t.Errorf("client = %q in the log, want %q", r.text("client"), tt.client)
			}
		})
	}
}

// A request over HTTP/1.0 may have no host. Then there is no X-Forwarded-Host.
func TestForwardedHeadersWithoutAHost(t *testing.T) {
	t.Parallel()
	b := newRecorder(t)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %s }]", b.Address))
	wstest.Ask(t, g.http, "GET /old HTTP/1.0\r\n\r\n")
	q := b.all()[0]
	if values := q.Values("X-Forwarded-Host"); values != nil || q.Get("Forwarded") != "for=127.0.0.1;proto=http" {
		t.Errorf("X-Forwarded-Host %q, Forwarded %q; want none, and no host", values, q.Get("Forwarded"))
	}
}

// Pages of the host that the browser asked for may connect, whatever Host a trusted proxy
// sends.
func TestSameOriginBehindAProxy(t *testing.T) {
	t.Parallel()
	b := newRecorder(t)
	const route = "\nroutes: [{ path: /*, backend: %s, websocket: { origins: [same-origin] } }]"
	strangers := start(t, fmt.Sprintf(route, b.Address))
	trusted := start(t, fmt.Sprintf("trusted_proxies: [127.0.0.1, \"::1\"]"+route, b.Address))
	tests := []struct {
		name  string
		lines []string
		want  bool // behind a trusted proxy; the headers of others are not believed
	}{
		{"another host", []string{"Origin: https://public.test", "X-Forwarded-Host: public.test"}, true},
		{"another host with a port", []string{"Origin: https://public.test:8443", "X-Forwarded-Host: public.test:8443"}, true},
		{"another host in Forwarded", []string{"Origin: https://public.test", "Forwarded: host=public.test"}, true},
		{"a port", []string{"Origin: https://gateway.test:8443", "X-Forwarded-Port: 8443"}, true},
		{"host and port", []string{"Origin: https://public.test:8443", "X-Forwarded-Host: public.test", "X-Forwarded-Port: 8443"}, true},
		{"another page", []string{"Origin: https://evil.test", "X-Forwarded-Host: public.test"}, false},
		{"another port", []string{"Origin: https://gateway.test:9443", "X-Forwarded-Port: 8443"}, false},
		{"the host inside", []string{"Origin: https://gateway.test", "X-Forwarded-Host: public.test"}, false},
		{"a plain page where the client speaks TLS", []string{"Origin: http://public.test", "X-Forwarded-Host: public.test", "X-Forwarded-Proto: wss"}, false},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ask := func(g *gateway) bool {
				r, _ := wstest.Ask(t, g.http, wstest.Handshake(fmt.Sprintf("/%d/accepted", i), tt.lines...))
				return r.StatusCode == http.StatusSwitchingProtocols
			}
			if got := ask(trusted); got != tt.want {
				t.Errorf("behind a trusted proxy accepted %t, want %t", got, tt.want)
			}
			if tt.want && ask(strangers) {
				t.Errorf("a stranger was believed")
			}
		})
	}
}

// The word unix trusts the proxies that connect over a Unix socket, but not
// those whose address a PROXY header tells.
func TestTrustedProxiesOnUnixSockets(t *testing.T) {
	t.Parallel()
	b := newRecorder(t)
	dir := t.TempDir()
	behind := func(trusted string) *gateway {
		return startFile(t, fmt.Sprintf(`
listeners:
  - "unix:%[1]s/%[2]s.sock"
  - { address: "unix:%[1]s/%[2]s-proxy.sock", proxy_protocol: true }
trusted_proxies: [%[2]s]
log: { format: json }
state_dir: %[3]q
routes: [{ path: /*, backend: %[4]s }]
`, dir, trusted, t.TempDir(), b.Address))
	}
	believed, not := behind("unix"), behind("192.0.2.1")
	const said = "X-Forwarded-For: 203.0.113.7"
	tests := []struct {
		name, socket, preface string
		g                     *gateway
		want                  string // X-Forwarded-For; "": none
	}{
		{name: "trusted", socket: "unix", g: believed, want: "203.0.113.7"},
		{name: "not trusted", socket: "192.0.2.1", g: not},
		{name: "trusted, with a PROXY header", socket: "unix-proxy", preface: "PROXY TCP4 192.0.2.9 10.0.0.1 5555 443\r\n", g: believed, want: "192.0.2.9"},
		{name: "trusted, with one that tells nothing", socket: "unix-proxy", preface: "PROXY UNKNOWN\r\n", g: believed},
		{name: "the proxy that a PROXY header tells is trusted", socket: "192.0.2.1-proxy", preface: "PROXY TCP4 192.0.2.1 10.0.0.1 5555 443\r\n", g: not, want: "203.0.113.7, 192.0.2.1"},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := net.Dial("unix", dir+"/"+tt.socket+".sock")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, _ = io.WriteString(c, tt.preface+get(fmt.Sprintf("/%d", i), said))
			if text, err := io.ReadAll(wstest.Guarded(c)); !strings.HasPrefix(string(text), "HTTP/1.1 200 ") {
				t.Fatalf("answered with %q, %v", text, err)
			}
			q := b.below(fmt.Sprintf("/%d", i))[0]
			if got := q.Get("X-Forwarded-For"); got != tt.want {
				t.Errorf("X-Forwarded-For = %q, want %q", got, tt.want)
			}
			client, _, _ := strings.Cut(tt.want, ",")
			if r := tt.g.request(fmt.Sprintf("/%d", i)); r.text("client") != client {
				t.Errorf("client = %q in the log, want %q", r.text("client"), client)
			}
		})
	}
}

// fromAddress reports whether text is an address, with or without a port.
func fromAddress(text, want string) bool {
	if a, err := netip.ParseAddrPort(text); err == nil {
		return a.Addr().Unmap().String() == want
	}
	return text == want
}

// proxy2 is a PROXY header of version 2.
func proxy2(command, family byte, addresses ...byte) string {
	return "\r\n\r\n\x00\r\nQUIT\n" + string([]byte{command, family, 0, byte(len(addresses))}) + string(addresses)
}

func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	b := newRecorder(t)
	ca := wstest.NewCA(t)
	cert, key := ca.Issue(t, "gateway.test")
	behind := func(trusted string) *gateway {
		g := startFile(t, fmt.Sprintf(`
listeners:
  - { address: "127.0.0.1:0", proxy_protocol: true, timeouts: { header: 2s } }
  - { address: "localhost:0", tls: true, proxy_protocol: true, timeouts: { header: 2s } }
tls: { certificates: [{ cert: %q, key: %q }] }
trusted_proxies: [%s]
log: { format: json }
state_dir: %q
routes: [{ path: /*, backend: %s }]
`, cert, key, trusted, t.TempDir(), b.Address))
		g.http = wstest.Target{Address: g.listener(false)}
		g.https = wstest.Target{Address: g.listener(true), TLS: ca.Client("gateway.test")}
		return g
	}
	trusted, strangers := behind(`127.0.0.1, "::1"`), behind("192.0.2.0/24")
	tcp4 := []byte{203, 0, 113, 7, 10, 0, 0, 1, 0x15, 0xb3, 0x01, 0xbb}
	tcp6 := slices.Concat(netip.MustParseAddr("2001:db8::7").AsSlice(), netip.MustParseAddr("::1").AsSlice(), []byte{0x15, 0xb3, 0x01, 0xbb})
	tests := []struct {
		name, header string
		client       string // "": the connection is refused
		g            *gateway
	}{
		{name: "version 1, IPv4", header: "PROXY TCP4 203.0.113.7 10.0.0.1 5555 443\r\n", client: "203.0.113.7", g: trusted},
		{name: "version 1, IPv6", header: "PROXY TCP6 2001:db8::7 ::1 5555 443\r\n", client: "2001:db8::7", g: trusted},
		{name: "version 1, unknown", header: "PROXY UNKNOWN\r\n", client: "own", g: trusted},
		{name: "version 2, IPv4", header: proxy2(0x21, 0x11, tcp4...), client: "203.0.113.7", g: trusted},
		{name: "version 2, IPv6", header: proxy2(0x21, 0x21, tcp6...), client: "2001:db8::7", g: trusted},
		{name: "version 2, local", header: proxy2(0x20, 0x00), client: "own", g: trusted},
		{name: "version 2, further fields", header: proxy2(0x21, 0x11, append(slices.Clone(tcp4), 0x02, 0, 3, 'a', '.', 'b', 0x04, 0, 1, 0)...), client: "203.0.113.7", g: trusted},
		{name: "none", header: "", g: trusted},
		{name: "version 1 without addresses", header: "PROXY TCP4\r\n", g: trusted},
		{name: "version 1 with bad addresses", header: "PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", g: trusted},
		{name: "version 1 with the other family", header: "PROXY TCP4 2001:db8::7 ::1 1 2\r\n", g: trusted},
		{name: "version 1 with a bad port", header: "PROXY TCP4 203.0.113.7 10.0.0.1 99999 443\r\n", g: trusted},
		{name: "version 1 without end", header: "PROXY TCP4 " + strings.Repeat("1", 4000), g: trusted},
		{name: "version 2 that is cut", header: proxy2(0x21, 0x11, tcp4[:6]...), g: trusted},
		{name: "version 2 of version 3", header: proxy2(0x31, 0x11, tcp4...), g: trusted},
		{name: "version 1 of a stranger", header: "PROXY TCP4 203.0.113.7 10.0.0.1 5555 443\r\n", g: strangers},
		{name: "version 2 of a stranger", header: proxy2(0x21, 0x11, tcp4...), g: strangers},
		{name: "nothing of a stranger", header: "", g: strangers},
	}
	for i, tt := range tests {
		for scheme, target := range tt.g.schemes() {
			t.Run(scheme+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				path := fmt.Sprintf("/%s%02d", scheme, i)
				c, err := net.Dial("tcp", target.Address)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				in := io.Reader(wstest.Guarded(c))
				_, _ = io.WriteString(c, tt.header) // an end shows in the reading
				if target.TLS != nil {
					s := tls.Client(wstest.Guarded(c), target.TLS)
					_, _ = io.WriteString(s, get(path))
					in = s
				} else {
					_, _ = io.WriteString(c, get(path))
				}
				text, _ := io.ReadAll(in)
				served := strings.HasPrefix(string(text), "HTTP/1.1 200 ")
				if served != (tt.client != "") || tt.client == "" && len(b.below(path)) > 0 {
					t.Fatalf("answered with %.200q, and the backend got %d requests", text, len(b.below(path)))
				}
				if !served {
					return
				}
				want := tt.client
				if want == "own" {
					want = c.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().String()
				}
				if r := tt.g.request(path); !fromAddress(r.text("client"), want) {
					t.Errorf("client = %q in the log, want %q", r.text("client"), want)
				}
				if got := b.below(path)[0].Get("X-Forwarded-For"); !strings.HasPrefix(got, want) {
					t.Errorf("X-Forwarded-For = %q, want %q", got, want)
				}
			})
		}
	}
}

// The client of a session is the one of the PROXY header too.
func TestProxyProtocolBeforeASession(t *testing.T) {
	t.Parallel()
	b := wstest.NewBackend(t, wstest.Echo)
	g := startFile(t, fmt.Sprintf(`
listeners: [{ address: "127.0.0.1:0", proxy_protocol: true }]
trusted_proxies: [127.0.0.1]
log: { format: json }
state_dir: %q
routes: [{ path: /*, backend: %s }]
`, t.TempDir(), b.Address))
	p := wstest.Dial(t, wstest.Target{Address: g.listener(false)})
	handshake := wstest.Handshake("/ws")
	p.WriteString("PROXY TCP4 203.0.113.7 10.0.0.1 5555 443\r\n" + handshake)
	p.Opened(handshake)
	p.Send(wstest.Text("hello"))
	p.Expect(wstest.Text("hello"))
	goodbye(p)
	if r := g.ended("/ws"); !fromAddress(r.text("client"), "203.0.113.7") {
		t.Errorf("client = %q in the log, want 203.0.113.7", r.text("client"))
	}
}

// Connections from addresses that are not trusted are refused on a listener with PROXY
// headers. The log says so once.
func TestRefusedProxiesFillNoLog(t *testing.T) {
	t.Parallel()
	g := startFile(t, fmt.Sprintf(`
listeners: [{ address: "127.0.0.1:0", proxy_protocol: true }]
trusted_proxies: [192.0.2.1]
routes: [{ path: /*, respond: { body: hello } }]
log: { format: json }
state_dir: %q
`, t.TempDir()))
	target := wstest.Target{Address: g.listener(false)}
	for range 100 {
		cut(t, wstest.Dial(t, target))
	}
	lines := 0
	for _, r := range g.log() {
		if r.name() == "connections refused" {
			lines++
		}
	}
	if lines != 1 {
		t.Errorf("%d lines for 100 connections; want one", lines)
	}
}
