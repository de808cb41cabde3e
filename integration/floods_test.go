package integration

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"

	"sluice/internal/wstest"
)

// neighbour makes the requests of another client until it is stopped: each must get 200. It
// returns their number.
func neighbour(t *testing.T, g *gateway, path string) (stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	client := g.client(t)
	n := 0
	var running sync.WaitGroup
	running.Go(func() {
		for ctx.Err() == nil {
			for _, target := range g.schemes() {
				r, err := client.Get(target.URL(path))
				if err != nil {
					t.Errorf("request %d of another client: %v", n, err)
					return
				}
				r.Body.Close()
				if r.StatusCode != http.StatusOK {
					t.Errorf("request %d of another client: status %d", n, r.StatusCode)
					return
				}
				n++
			}
		}
	})
	return func() int {
		cancel()
		running.Wait()
		return n
	}
}

// generous is a bound on memory in bytes, for what the race detector needs too.
func generous(n int) int {
	if built("-race") == "true" {
		return 8 * n
	}
	return n
}

// An HTTP/2 connection that does nothing but make work for the gateway costs it little: other
// clients are served, and memory does not grow with the flood.
func TestFloodsOverHTTP2(t *testing.T) {
	t.Parallel()
	const frames = 20_000
	allowed := generous(48 << 20)
	hanging := wstest.NewBackend(t, wstest.Hanging)
	page := strings.Repeat("a page ", 100_000)
	pages := wstest.NewBackend(t, wstest.Answering(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(page), page)))
	g := start(t, fmt.Sprintf(`
routes:
  - { path: /hanging, backend: %s }
  - { path: /page, backend: %s }
  - { path: /hello, respond: { body: hello } }
`, hanging.Address, pages.Address))
	hello := pseudo("GET", "/hello")
	odd := func(i int) uint32 { return uint32(2*i + 1) }
	tests := []struct {
		name     string
		settings []http2.Setting
		frames   int
		first    func(*stream2) error
		flood    func(s *stream2, i int) error // one frame, or a few
		unread   bool                          // by the client, to its end
		cut      bool                          // the gateway must put an end to it
	}{
		{name: "rapid reset", cut: true, frames: frames, flood: func(s *stream2, i int) error {
			if err := s.open(odd(i), true, pseudo("GET", "/hanging")...); err != nil {
				return err
			}
			return s.WriteRSTStream(odd(i), http2.ErrCodeCancel)
		}},
		// net/http does not tell a handler of these; they cost what requests do.
		{name: "resets that the gateway has to send", frames: frames, flood: func(s *stream2, i int) error {
			if err := s.open(odd(i), true, hello...); err != nil {
				return err
			}
			return s.WriteWindowUpdate(odd(i), 0)
		}},
		{name: "requests without reading", frames: frames, flood: func(s *stream2, i int) error { return s.open(odd(i), true, hello...) }},
		{name: "settings", frames: frames, flood: func(s *stream2, _ int) error {
			return s.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 16})
		}},
		{name: "pings", frames: frames, flood: func(s *stream2, _ int) error { return s.WritePing(false, [8]byte{}) }},
		{name: "priorities", frames: frames, flood: func(s *stream2, i int) error {
			return s.WritePriority(odd(i), http2.PriorityParam{StreamDep: 0, Weight: 1})
		}},
		{name: "window updates", frames: frames, flood: func(s *stream2, _ int) error { return s.WriteWindowUpdate(0, 1) }},
		{name: "unknown frames", frames: frames, flood: func(s *stream2, _ int) error { return s.WriteRawFrame(0xfe, 0, 0, make([]byte, 100)) }},
		{
			name: "continuations without end", cut: true, frames: frames,
			first: func(s *stream2) error {
				return s.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: s.encode(hello)})
			},
			flood: func(s *stream2, i int) error {
				return s.WriteContinuation(1, false, s.encode([]field{{fmt.Sprintf("x-%d", i), strings.Repeat("x", 1000)}}))
			},
		},
		{
			name: "empty continuations", cut: true, frames: frames,
			first: func(s *stream2) error {
				return s.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: s.encode(hello)})
			},
			flood: func(s *stream2, _ int) error { return s.WriteContinuation(1, false, nil) },
		},
		{
			name: "a header list that unpacks to much", frames: 200,
			flood: func(s *stream2, i int) error {
				large := field{"x-large", strings.Repeat("x", 4000)} // in the table after the first
				fields := pseudo("GET", "/hello")
				for range 4000 {
					fields = append(fields, large)
				}
				return s.open(odd(i), true, fields...)
			},
		},
		{
			name: "empty data", frames: frames,
			first: func(s *stream2) error { return s.open(1, false, pseudo("POST", "/hanging")...) },
			flood: func(s *stream2, _ int) error { return s.WriteData(1, false, nil) },
		},
		{
			name: "empty headers", frames: frames,
			flood: func(s *stream2, i int) error {
				return s.WriteHeaders(http2.HeadersFrameParam{StreamID: odd(i), EndStream: true, EndHeaders: true})
			},
		},
		{
			name: "answers that nobody reads", frames: 200, unread: true,
			settings: []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 1 << 30}},
			flood:    func(s *stream2, i int) error { return s.open(odd(i), true, pseudo("GET", "/page")...) },
		},
		{
			name: "answers without a window", frames: 200, unread: true,
			settings: []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 0}},
			flood:    func(s *stream2, i int) error { return s.open(odd(i), true, pseudo("GET", "/page")...) },
		},
		{
			name: "bodies beyond the window", frames: 1000,
			first: func(s *stream2) error { return s.open(1, false, pseudo("POST", "/hanging")...) },
			flood: func(s *stream2, _ int) error { return s.WriteData(1, false, make([]byte, 16<<10)) },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := peak(t, g.pid)
			stop := neighbour(t, g, "/hello")
			s := dial2(t, g.https, tt.settings...)
			// The gateway may end the connection at any frame; else it takes all.
			var err error
			if tt.first != nil {
				err = tt.first(s)
			}
			for i := 0; i < tt.frames && err == nil; i++ {
				err = tt.flood(s, i)
			}
			// While it stands there, unread, others are served.
			for range 10 {
				r, body := wstest.Ask(t, g.http, get("/hello"))
				if r.StatusCode != http.StatusOK || body != "hello" {
					t.Errorf("behind the flood: status %d, body %q", r.StatusCode, body)
				}
			}
			if !tt.unread {
				switch lives, err := s.settle(); {
				case err != nil:
					t.Error(err)
				case lives && tt.cut:
					t.Errorf("the gateway took %d of them", tt.frames)
				}
			}
			s.conn.Close()
			if n := stop(); n == 0 {
				t.Error("no other client was served meanwhile")
			}
			if grown := peak(t, g.pid) - before; grown > allowed {
				t.Errorf("the gateway grew by %d MiB, want at most %d", grown>>20, allowed>>20)
			}
		})
	}
}
