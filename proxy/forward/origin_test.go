package forward

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sluice/internal/header"
)

// fields returns the header with the "name: value" lines.
func fields(lines string) (h header.Fields) {
	for line := range strings.Lines(lines) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		h.AddName(name, value)
	}
	return h
}

// The report of a trusted proxy is used as far as it is valid, and is sent on in both
// forms.
func TestOriginFromATrustedProxy(t *testing.T) {
	proxy := netip.MustParseAddr("10.0.0.1")
	const known = "X-Forwarded-For: 192.0.2.1\n"
	tests := []struct {
		name, in    string
		overTLS     bool
		client      string // "" for the proxy
		proto, host string // "" for http and a.test
		port        string // "" for that of proto
		hops        string // before the proxy's, in X-Forwarded-For
		elements    string // before the proxy's, in Forwarded
	}{
		{name: "no report"},
		{name: "no report, over TLS", overTLS: true, proto: "https"},
		{
			name: "Forwarded", in: `Forwarded: for=192.0.2.1;proto=https;host="b.test"`, client: "192.0.2.1", proto: "https", host: "b.test",
			hops: "192.0.2.1", elements: `for=192.0.2.1;proto=https;host="b.test"`,
		},
		{
			name: "Forwarded of several proxies", in: "Forwarded: for=192.0.2.1;by=_x , for=\"[2001:db8::1]:99\"\nForwarded: For=\"unknown\";Proto=\"http\"",
			hops: "192.0.2.1, 2001:db8::1, unknown", elements: `for=192.0.2.1;by=_x, for="[2001:db8::1]:99", For="unknown";Proto="http"`,
		},
		{name: "Forwarded without a node", in: "Forwarded: proto=https", proto: "https", elements: "proto=https"},
		{name: "Forwarded with a comma in quotes", in: `Forwarded: for="a, for=192.0.2.1"`, hops: "unknown", elements: `for="a, for=192.0.2.1"`},
		{name: "Forwarded with an open quote", in: `Forwarded: for=192.0.2.1;host="b.test`},
		{name: "Forwarded with an open quote first", in: `Forwarded: for="x, for=192.0.2.1`},
		{name: "Forwarded with a quote inside", in: `Forwarded: for=192.0.2.1";proto=https;host="b.test`},
		{name: "Forwarded with a pair twice", in: "Forwarded: for=192.0.2.1;for=192.0.2.2"},
		{name: "Forwarded with no pair", in: "Forwarded: 192.0.2.1"},
		{name: "Forwarded that is too long", in: "Forwarded: for=192.0.2.1;x=" + strings.Repeat("a", maxForwarded)},
		{name: "X-Forwarded-For", in: known, client: "192.0.2.1", hops: "192.0.2.1", elements: "for=192.0.2.1"},
		{
			name: "X-Forwarded-For of several proxies", in: "X-Forwarded-For: <x>, 2001:db8::1,\nX-Forwarded-For: 192.0.2.1:99", client: "192.0.2.1",
			hops: "<x>, 2001:db8::1, 192.0.2.1:99", elements: `for=unknown, for="[2001:db8::1]", for=192.0.2.1`,
		},
		{
			name: "X-Forwarded-For, and Forwarded from the client", in: known + "Forwarded: for=6.6.6.6;proto=https;host=evil.test", client: "192.0.2.1",
			hops: "192.0.2.1", elements: "for=192.0.2.1",
		},
		{name: "https", in: known + "X-Forwarded-Proto: HTTPS", client: "192.0.2.1", proto: "https", hops: "192.0.2.1", elements: "for=192.0.2.1"},
		{name: "wss", in: "X-Forwarded-Proto: wss", proto: "https"},
		{name: "ws", in: "X-Forwarded-Proto: WS", overTLS: true},
		{name: "the last scheme", in: "X-Forwarded-Proto: http, wss", proto: "https"},
		{name: "an unknown scheme", in: "X-Forwarded-Proto: h2", overTLS: true, proto: "https"},
		{name: "an unknown scheme, in the clear", in: "X-Forwarded-Proto: h2"},
		{name: "no scheme", in: "X-Forwarded-Proto: ", overTLS: true, proto: "https"},
		{name: "an unknown scheme beside Forwarded", in: "X-Forwarded-Proto: h2\nForwarded: proto=https", proto: "https", elements: "proto=https"},
		{name: "an unknown scheme in Forwarded", in: "Forwarded: proto=h2", overTLS: true, proto: "https", elements: "proto=h2"},
		{name: "wss in Forwarded", in: "Forwarded: proto=wss", proto: "https", elements: "proto=wss"},
		{name: "host", in: "X-Forwarded-Host: B_1.test:8443", host: "b_1.test:8443", port: "8443"},
		{name: "an invalid host", in: "X-Forwarded-Host: b.test/x\nForwarded: host=c.test", host: "c.test", elements: "host=c.test"},
		{name: "port", in: "X-Forwarded-Port: 8443", port: "8443"},
		{name: "another port than the host's", in: "X-Forwarded-Host: b.test:1\nX-Forwarded-Port: 8443", host: "b.test:1", port: "8443"},
		{name: "invalid ports", in: "X-Forwarded-Port: 8443, 65536"},
		{name: "port 0", in: "X-Forwarded-Port: 0"},
		{name: "a sign", in: "X-Forwarded-Port: +1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			scheme := map[bool]string{true: "https", false: "http"}[tt.overTLS]
			r := from(httptest.NewRequest("GET", scheme+"://a.test/", nil), proxy)
			r.Header = fields(tt.in)
			o := NewOrigin(r, true, func(a netip.Addr) bool { return a == proxy })
			var out header.Fields
			o.Set(&out)
			h := out.HTTP()
			or := func(s, otherwise string) string {
				if s == "" {
					return otherwise
				}
				return s
			}
			proto, host := or(tt.proto, "http"), or(tt.host, "a.test")
			if o.Client.String() != or(tt.client, "10.0.0.1") || o.Proto != proto || o.Host != host {
				t.Errorf("origin = %v, %s, %s; want %s, %s, %s", o.Client, o.Proto, o.Host, or(tt.client, "10.0.0.1"), proto, host)
			}
			want := http.Header{
				"X-Forwarded-For":   {strings.TrimPrefix(tt.hops+", 10.0.0.1", ", ")},
				"X-Forwarded-Proto": {proto},
				"X-Forwarded-Host":  {host},
				"X-Forwarded-Port":  {or(tt.port, map[string]string{"http": "80", "https": "443"}[proto])},
				"Forwarded":         {strings.TrimPrefix(tt.elements+`, for=10.0.0.1;proto=`+proto+`;host="`+host+`"`, ", ")},
			}
			for name := range want {
				if !slices.Equal(h[name], want[name]) {
					t.Errorf("%s = %q; want %q", name, h[name], want[name])
				}
			}
		})
	}
}

// The backend learns the client's address alone, and what of the path all proxies have stripped.
func TestOriginTellsTheClientAndThePrefix(t *testing.T) {
	proxy := netip.MustParseAddr("10.0.0.1")
	tests := []struct {
		name, in       string
		untrusted      bool
		local          bool // the proxy is on a Unix socket
		stripped       string
		client, prefix string // "" for none
	}{
		{name: "nothing", client: "10.0.0.1"},
		{name: "a client of a proxy", in: "X-Forwarded-For: 192.0.2.1", client: "192.0.2.1"},
		{name: "an IPv6 client of a proxy", in: "X-Forwarded-For: 2001:db8::1", client: "2001:db8::1"},
		{name: "on a Unix socket", local: true},
		{name: "on a Unix socket, of a proxy", local: true, in: "X-Forwarded-For: 192.0.2.1", client: "192.0.2.1"},
		{name: "what a client says", untrusted: true, in: "X-Real-IP: 6.6.6.6\nX-Forwarded-For: 6.6.6.6\nX-Forwarded-Prefix: /evil", client: "10.0.0.1"},
		{name: "what a client says of a prefix", untrusted: true, in: "X-Forwarded-Prefix: /evil", stripped: "/app", client: "10.0.0.1", prefix: "/app"},
		{name: "a proxy's X-Real-IP", in: "X-Real-IP: 6.6.6.6", client: "10.0.0.1"},
		{name: "stripped here", stripped: "/app", client: "10.0.0.1", prefix: "/app"},
		{name: "stripped by a proxy", in: "X-Forwarded-Prefix: /outer", client: "10.0.0.1", prefix: "/outer"},
		{name: "stripped by both", in: "X-Forwarded-Prefix: /outer/", stripped: "/app", client: "10.0.0.1", prefix: "/outer/app"},
		{name: "a prefix that is another host's", in: "X-Forwarded-Prefix: //evil.test", stripped: "/app", client: "10.0.0.1", prefix: "/app"},
		{name: "no path", in: "X-Forwarded-Prefix: app", client: "10.0.0.1"},
		{name: "several", in: "X-Forwarded-Prefix: /a\nX-Forwarded-Prefix: /b", client: "10.0.0.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			peer := proxy
			if tt.local {
				peer = netip.Addr{}
			}
			r := from(httptest.NewRequest("GET", "http://a.test/", nil), peer)
			r.Header = fields(tt.in)
			o := NewOrigin(r, !tt.untrusted, func(a netip.Addr) bool { return a == proxy })
			o.Stripped = tt.stripped
			o.Set(&r.Header)
			for id, want := range map[header.ID]string{header.XRealIP: tt.client, header.XForwardedPrefix: tt.prefix} {
				if got := r.Header.Get(id); got != want || r.Header.Count(id) > 1 || want == "" && r.Header.Has(id) {
					t.Errorf("%v = %q in %d fields, want %q in one", id, got, r.Header.Count(id), want)
				}
			}
		})
	}
}

// Fields that a backend may take for the gateway's own do not pass.
func TestOriginRemovesTheFieldsOfTheGateway(t *testing.T) {
	sent := []string{
		"Forwarded", "X-Forwarded-Prefix", "X-Forwarded-Ssl", "X_Forwarded_Prefix", "X-Forwarded-Client_cert", "X.Forwarded.For", "X-Real-Ip", "X_real_ip",
		"X-Request-Id", "X-Request_id", "X-Client-Subject", "X_client_san", "X-Client-Anything", "X-Forwarder", "X-Client", "Accept",
	}
	for trusted, want := range map[bool][]string{
		false: {"Accept", "X-Client", "X-Forwarder"},
		true:  {"Accept", "X-Client", "X-Forwarded-Prefix", "X-Forwarded-Ssl", "X-Forwarder"},
	} {
		r := from(httptest.NewRequest("GET", "/", nil), netip.MustParseAddr("192.0.2.1"))
		for _, name := range sent {
			r.Header.AddName(name, "evil")
		}
		NewOrigin(r, trusted, func(netip.Addr) bool { return false })
		if got := slices.Sorted(maps.Keys(r.Header.HTTP())); !slices.Equal(got, want) {
			t.Errorf("trusted %t: the fields left are %q; want %q", trusted, got, want)
		}
	}
}

func TestOriginOnAUnixSocket(t *testing.T) {
	for in, want := range map[string]string{
		"":                           `, for=unknown;proto=http`,
		"X-Forwarded-For: 192.0.2.1": `192.0.2.1, for=192.0.2.1, for=unknown;proto=http`,
	} {
		r := from(httptest.NewRequest("GET", "/", nil), netip.Addr{})
		r.Host, r.Header = "", fields(in)
		o := NewOrigin(r, true, func(netip.Addr) bool { return false })
		o.Set(&r.Header)
		if got := r.Header.Get(header.XForwardedFor) + ", " + r.Header.Get(header.Forwarded); got != want {
			t.Errorf("%q is sent as %q; want %q", in, got, want)
		}
		if r.Header.Has(header.XForwardedHost) {
			t.Errorf("X-Forwarded-Host = %q without a host; want none", r.Header.Get(header.XForwardedHost))
		}
	}
}

// The Forwarded header that is sent has one element more than the received one, and
// the same nodes as X-Forwarded-For.
func FuzzForwarded(f *testing.F) {
	for _, seed := range []string{"for=192.0.2.1;proto=https", `for="[::1]:1", ;,for=_a;host="a\"\\,b"`, `for="x`, "a", "=", `for="a"b`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		r := from(httptest.NewRequest("GET", "/", nil), netip.MustParseAddr("192.0.2.1"))
		r.Header.Add(header.Forwarded, in)
		o := NewOrigin(r, true, func(netip.Addr) bool { return true })
		o.Set(&r.Header)
		if strings.ContainsAny(in, "\r\n") || len(in) > maxForwarded-100 {
			return // net/http does not read such a header
		}
		before, after := len(parseForwarded(slices.Values([]string{in}))), parseForwarded(r.Header.Values(header.Forwarded))
		if len(after) != before+1 {
			t.Fatalf("Forwarded %q is sent as %q: %d elements after %d", in, r.Header.Get(header.Forwarded), len(after), before)
		}
		var nodes []string
		for _, e := range after {
			if node, ok := e.pairs["for"]; ok {
				hop := "unknown"
				if a, ok := address(node); ok {
					hop = a.String()
				}
				nodes = append(nodes, hop)
			}
		}
		if got := slices.Collect(r.Header.Elements(header.XForwardedFor)); !slices.Equal(got, nodes) {
			t.Errorf("Forwarded %q is sent as %q, but X-Forwarded-For as %q", in, r.Header.Get(header.Forwarded), got)
		}
	})
}
