//go:build linux && !portable

package http1

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/clock"
	"sluice/internal/h1"
	"sluice/internal/header"
	"sluice/internal/loop"
	"sluice/internal/message"
	"sluice/internal/wire"
	"sluice/internal/wstest"
	"sluice/proxy/clientio"
)

// seen is a request as a handler has read it.
type seen struct {
	head, body, trailer string
}

// sorted returns fields in one order and spelling.
func sorted(h http.Header) header.Fields {
	fields := header.FromHTTP(h)
	slices.SortStableFunc(fields, func(a, b header.Field) int { return strings.Compare(a.Name, b.Name) })
	return fields
}

// describe reads a request to its end.
func describe(r *message.Request) seen {
	var fields []string
	for _, f := range sorted(r.Header.HTTP()) {
		if f.ID != header.CacheControl && f.ID != header.Trailer && f.Name != "Pragma" { // net/http changes these, sometimes
			fields = append(fields, f.Name+": "+f.Value)
		}
	}
	// A later version is taken for HTTP/1.1 (RFC 9112, section 2.3).
	s := seen{head: fmt.Sprintf("%s %s %s %s?%s %v %s %d %v %q", r.Method, r.RequestURI, r.Host, r.Path, r.RawQuery, r.ForceQuery, min(r.Proto, "HTTP/1.1"), r.ContentLength, r.Chunked, fields)}
	body, err := io.ReadAll(r.Body())
	if s.body = string(body); err != nil {
		s.body += ", cut"
		return s
	}
	s.trailer = fmt.Sprint(sorted(r.Trailer()))
	return s
}

// served is an exchange that the loop does not forward.
type served struct {
	Exchange
	r     message.Request
	serve func(http.ResponseWriter, *message.Request)
}

func (x *served) Serve(ctx context.Context, w http.ResponseWriter, body io.ReadCloser, trailer *http.Header) {
	x.r.Carry(ctx, body, trailer)
	x.serve(w, &x.r)
}
func (x *served) Forward() bool { return false }

// newServer returns a server whose requests and refusals go to handle.
func newServer(t testing.TB, handle func(w http.ResponseWriter, r *message.Request, why *h1.Refusal)) *Server {
	t.Helper()
	l := loop.New(clock.New(), loop.NewPipes(0))
	engine := New([]*loop.Loop{l})
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() { defer close(over); l.Run(ctx) }()
	s := engine.NewServer(Options{
		MaxHeader: 16 << 10, MaxFields: 100, HeaderTimeout: wstest.Guard, IdleTimeout: wstest.Guard,
		Begin: func(_ *clientio.Conn, r message.Request) Exchange {
			return &served{r: r, serve: func(w http.ResponseWriter, r *message.Request) { handle(w, r, nil) }}
		},
		Refuse: func(_ context.Context, _ *clientio.Conn, w http.ResponseWriter, r message.Request, why *h1.Refusal) {
			handle(w, &r, why)
		},
		Panicked: func(cause any, stack []byte) { t.Errorf("panic: %v\n%s", cause, stack) },
	})
	t.Cleanup(func() {
		ended, stop := context.WithTimeout(context.Background(), wstest.Guard)
		defer stop()
		s.Shutdown(ended)
		if ended.Err() != nil {
			t.Errorf("connections were left: %d", s.conns)
		}
		cancel()
		<-over
	})
	return s
}

// connect returns the client's end of a new connection of s.
func (s *Server) connect(t testing.TB) net.Conn {
	t.Helper()
	client, server := wstest.Sockets(t, "unix") // of ports there are not enough
	s.serve(t, server)
	if err := client.SetDeadline(time.Now().Add(wstest.LongGuard)); err != nil {
		t.Fatal(err)
	}
	return client
}

// serve has the server take a connection of a client over.
func (s *Server) serve(t testing.TB, server net.Conn) {
	t.Helper()
	fd, _, err := wire.New(server).Detach()
	if err != nil {
		t.Fatal(err)
	}
	if !s.Serve(clientio.NewConn(wire.New(loop.NewConn(int32(fd), netip.AddrPort{})), clientio.NewHeadBudget())) {
		t.Fatal("no loop has taken the connection")
	}
}

// talk sends in, ends the stream, and returns what comes back.
func talk(t testing.TB, c net.Conn, in string) string {
	t.Helper()
	go func() {
		io.WriteString(c, in)
		wire.CloseWrite(c)
	}()
	out, _ := io.ReadAll(c) // a reset is the end too
	return string(out)
}

// spaced is a size of a chunk with white space in front of its extension, which net/http does not
// take.
var spaced = regexp.MustCompile(`[0-9a-fA-F][ \t]+;`)

// What is accepted net/http reads as the same requests, with the same bodies, and the next
// request begins at the same byte.
func FuzzAgainstNetHTTP(f *testing.F) {
	for _, seed := range []string{
		"GET /a?b HTTP/1.1\nHost: a\n\nGET / HTTP/1.1\nHost: b\nConnection: close\n\nGET /never HTTP/1.1\nHost: c\n\n",
		"POST / HTTP/1.1\nHost: a\nContent-Length: 3\n\nabcPOST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nTrailer: X\n\n3;x=y\nabc\n0\nX: 1\nY: 2\n\nGET /last HTTP/1.0\n\n",
		"GET http://a.test:81?x HTTP/1.1\nHost: b\n\nOPTIONS * HTTP/1.1\nHost: a\n\n", "\n\nHEAD / HTTP/1.1\nHost: a\nExpect: 100-continue\n\n",
		"POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n3 ;x\nabc\n0\n\n", "PUT /x HTTP/1.1\nHost: a\nContent-Length: 9\n\nshort", "GET /\x01 HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\nHost: a\nHost: b\n\n",
		"POST / HTTP/1.1\nHost: a\nContent-Length: 1\nTransfer-Encoding: chunked\n\n0\n\n", "GET / HTTP/1.0\nConnection: keep-alive\n\nGET / HTTP/1.7\nHost: a\n\n",
		"POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\nzz\n", "GET /%zz HTTP/1.1\nHost: a\n\n", strings.Repeat("GET / HTTP/1.1\nHost: a\nCookie: "+strings.Repeat("x", 9000)+"\n\n", 9),
	} {
		f.Add(strings.ReplaceAll(seed, "\n", "\r\n"))
	}
	var ours, theirs []seen // of one connection, and read when it is closed
	answer := func(w http.ResponseWriter, s seen, to *[]seen) {
		*to = append(*to, s)
		if strings.HasSuffix(s.body, ", cut") {
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, "ok")
	}
	s := newServer(f, func(w http.ResponseWriter, r *message.Request, why *h1.Refusal) {
		if why != nil {
			w.WriteHeader(why.Status)
			return
		}
		answer(w, describe(r), &ours)
	})
	closed := make(chan struct{})
	reference := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m := message.FromHTTP(r, netip.AddrPort{})
		answer(w, describe(&m), &theirs)
	}), DisableGeneralOptionsHandler: true, ErrorLog: log.New(io.Discard, "", 0), ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			closed <- struct{}{}
		}
	}}
	l, err := net.Listen("unix", filepath.Join(f.TempDir(), "s"))
	if err != nil {
		f.Fatal(err)
	}
	go reference.Serve(l)
	f.Cleanup(func() { reference.Close() })
	f.Fuzz(func(t *testing.T, in string) {
		ours, theirs = nil, nil
		out := talk(t, s.connect(t), in)
		s.await(t.Context(), func() bool { return s.conns == 0 })
		if len(ours) == 0 || spaced.MatchString(in) {
			return
		}
		c, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(wstest.LongGuard))
		talk(t, c, in)
		c.Close()
		<-closed
		for i, got := range ours {
			if i == len(theirs) {
				target := strings.Fields(got.head)[1]
				if _, err := url.ParseRequestURI(target); err != nil || strings.HasPrefix(in, "\r\n") || strings.Contains(in, "\r\n\r\n\r\n") {
					return // net/http refuses what routes refuse, and empty lines in front of a request
				}
				t.Fatalf("net/http has %d requests in %q; there is also %+v\n%s", len(theirs), in, got, out)
			}
			if strings.HasSuffix(got.body, ", cut") && got.head == theirs[i].head {
				return // the connection ends there; net/http takes some bodies that are refused here
			}
			if got != theirs[i] {
				t.Fatalf("request %d of %q is\n%+v; to net/http it is\n%+v", i, in, got, theirs[i])
			}
		}
	})
}
