package message

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"sluice/internal/header"
)

// received returns the request that net/http's server reads from head.
func received(t testing.TB, head string) (*Request, *http.Request) {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	m := FromHTTP(r, netip.MustParseAddrPort("192.0.2.1:7"))
	return &m, r
}

func TestFromHTTP(t *testing.T) {
	m, r := received(t, "POST /a%2Fb?x=1 HTTP/1.1\nHost: a.test:81\nTransfer-Encoding: chunked\nAccept: a\naccept: b")
	if m.Method != "POST" || m.RequestURI != "/a%2Fb?x=1" || m.Host != "a.test:81" || m.Path != "/a%2Fb" || m.RawQuery != "x=1" || m.ForceQuery {
		t.Errorf("FromHTTP = %+v", m)
	}
	if !m.Chunked || m.ContentLength != -1 || m.Proto != "HTTP/1.1" || !m.ProtoAtLeast(1, 1) || m.ProtoAtLeast(1, 2) || m.ProtoAtLeast(2, 0) || !m.ProtoAtLeast(0, 9) {
		t.Errorf("FromHTTP = %+v", m)
	}
	if m.Peer.Port() != 7 || m.TLS != nil || m.HTTP() != r || m.Context() != r.Context() {
		t.Errorf("FromHTTP = %+v", m)
	}
	if got := slices.Collect(m.Header.Values(header.Accept)); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("Accept = %q", got)
	}
}

// What policies change reaches net/http.
func TestChangesReachHTTP(t *testing.T) {
	m, _ := received(t, "PUT /?a HTTP/1.1\nHost: a\nContent-Length: 4\nX-A: 1\nX-B: 2\nY: 3")
	m.RawQuery = "b"
	m.Header.SetName("Y", "4")
	m.Header.DelFunc(func(f *header.Field) bool { return strings.HasPrefix(f.Name, "X-") })
	m.Header.Del(header.ContentLength)
	m.DropBody()
	r := m.HTTP()
	if r.URL.RawQuery != "b" || m.URI() != "/?b" || len(r.Header) != 1 || r.Header.Get("Y") != "4" {
		t.Errorf("net/http has %s with %v", r.URL, r.Header)
	}
	if m.ContentLength != 0 || r.ContentLength != 0 || r.Body != http.NoBody {
		t.Errorf("net/http has a body of %d bytes", r.ContentLength)
	}
}

func TestHeadSize(t *testing.T) {
	const head = "GET http://a.test/b?c HTTP/1.1\nHost: a.test\nX: 1\nX: 22\nCookie: "
	m, _ := received(t, head)
	if got, want := m.HeadSize(), int64(len(head)+strings.Count(head, "\n")+len("\r\n\r\n")); got != want {
		t.Errorf("HeadSize = %d; want %d", got, want)
	}
}

func TestCookies(t *testing.T) {
	m, _ := received(t, "GET / HTTP/1.1\nHost: a\nCookie: a=1; b=2; a=\"3\"\nCookie: a=4")
	for name, want := range map[string][]string{"a": {"1", "3", "4"}, "b": {"2"}, "c": nil} {
		if got := m.Cookies(name); !slices.Equal(got, want) {
			t.Errorf("Cookies(%q) = %q; want %q", name, got, want)
		}
	}
}

// The path is that of the target, and with its query it is the target again.
func TestPathOf(t *testing.T) {
	for target, want := range map[string]string{
		"/":                      "/",
		"/a%2Fb%41":              "/a%2Fb%41",
		"/a\"b%2F":               "/a\"b%2F", // not quite valid: EscapedPath would be /a%22b/
		"//host/a?b":             "//host/a",
		"/a?":                    "/a",
		"*":                      "*",
		"http://a.test":          "/",
		"http://a.test/%C3%A4?q": "/%C3%A4",
		"http:chat":              "chat",
	} {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			t.Fatal(err)
		}
		if got := PathOf(u); got != want {
			t.Errorf("PathOf(%q) = %q; want %q", target, got, want)
		}
		m := FromHTTP(&http.Request{URL: u}, netip.AddrPort{})
		if strings.HasPrefix(target, "/") && m.WithQuery(m.Path) != target {
			t.Errorf("%q becomes %q", target, m.WithQuery(m.Path))
		}
	}
}

// A copy has a body and a header of its own, and outlives the request.
func TestCopy(t *testing.T) {
	m, _ := received(t, "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nTrailer: X\nY: 3")
	ctx, cancel := context.WithCancel(t.Context())
	m.SetContext(ctx)
	c := m.Copy([]byte("abc"))
	cancel()
	m.Header.SetName("Y", "4")
	body, err := io.ReadAll(c.Body())
	if string(body) != "abc" || err != nil || c.ContentLength != 3 || c.Chunked || c.Trailer() != nil || c.Context().Err() != nil {
		t.Errorf("the copy is %+v with %q, %v", c, body, err)
	}
	if y := slices.Collect(c.Header.Named("y")); !slices.Equal(y, []string{"3"}) {
		t.Errorf("Y of the copy is %q", y)
	}
}
