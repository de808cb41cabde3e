package forward

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"testing"
)

// The head of an answer arrives before its first byte, and each piece as it comes,
// whether the length is known or not.
func TestPiecesArriveAsTheyCome(t *testing.T) {
	for name, header := range map[string]http.Header{
		"event stream":         {"Content-Type": {"text/event-stream"}},
		"body of any type":     {},
		"body of known length": {"Content-Length": {"9"}},
	} {
		t.Run(name, func(t *testing.T) {
			pieces := make(chan string)
			g := startGateway(t, serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
				for n, v := range header {
					w.Header()[n] = v
				}
				for {
					http.NewResponseController(w).Flush()
					p, ok := <-pieces
					if !ok {
						return
					}
					io.WriteString(w, p)
				}
			}))
			defer close(pieces)
			c := g.dial(t)
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			if header["Content-Length"] != nil {
				pieces <- "one"
			}
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			if header["Content-Length"] == nil {
				pieces <- "one"
			}
			got := make([]byte, 3)
			for i, want := range []string{"one", "two"} {
				if i > 0 {
					pieces <- want
				}
				if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != want {
					t.Fatalf("piece = %q, %v; want %q", got, err, want)
				}
			}
		})
	}
}

// If the backend dies inside its answer, the client sees that the answer is
// incomplete.
func TestBackendDiesInsideItsAnswer(t *testing.T) {
	for name, head := range map[string]string{
		"of known length": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
		"in chunks":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"inside a chunk":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf",
	} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %v", name, secure), func(t *testing.T) {
				g := newGateway(t, answerWith(t, head))
				if secure {
					g.StartTLS()
				} else {
					g.Start()
				}
				res, err := g.Client().Get(g.URL)
				if err == nil {
					_, err = io.ReadAll(res.Body)
					res.Body.Close()
				}
				if err == nil {
					t.Error("the client read half an answer without an error")
				}
				var e *Error
				if r := g.result(t); r.Status != 200 || !errors.As(r.Err, &e) || e.Client || r.Out != 4 {
					t.Errorf("result = %+v; want 4 bytes and an error of the backend", r)
				}
			})
		}
	}
}

// Bodies pass without being held in memory.
func TestBigBodiesInBoundedMemory(t *testing.T) {
	const size = 64 << 20
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", secure), func(t *testing.T) {
			g := newGateway(t, serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
				n, err := io.Copy(io.Discard, r.Body)
				if n != size || err != nil {
					t.Errorf("the backend got %d bytes, %v; want %d", n, err, size)
				}
				io.CopyN(w, zeros{}, size)
			}))
			if secure {
				g.StartTLS()
			} else {
				g.Start()
			}
			req, _ := http.NewRequestWithContext(t.Context(), "POST", g.URL, io.LimitReader(zeros{}, size))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			res, err := g.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			n, err := io.Copy(io.Discard, res.Body)
			runtime.ReadMemStats(&after)
			if n != size || err != nil {
				t.Errorf("the client got %d bytes, %v; want %d", n, err, size)
			}
			if grown := after.HeapSys - min(before.HeapSys, after.HeapSys); grown > size/2 {
				t.Errorf("the heap grew by %d bytes for bodies of %d; want less than half of it", grown, size)
			}
			if r := g.result(t); r.In != size || r.Out != size || r.Err != nil {
				t.Errorf("result = %+v; want all bytes and no error", r)
			}
		})
	}
}
