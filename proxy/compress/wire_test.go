package compress

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// protocols runs a test with a server of each HTTP version, whose answers c
// compresses. Errs gets the result of finish, unless the handler panicked.
func protocols(t *testing.T, c *Compressor, h http.HandlerFunc, test func(t *testing.T, s *httptest.Server, errs <-chan error)) {
	for version := 1; version <= 2; version++ {
		t.Run(fmt.Sprint("HTTP/", version), func(t *testing.T) {
			errs := make(chan error, 1)
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.ProtoMajor != version {
					t.Errorf("the request is %s", r.Proto)
				}
				x, finish := c.Wrap(w, asMessage(r))
				h(x, r)
				err := finish()
				select {
				case errs <- err:
				default:
				}
				if err != nil {
					panic(http.ErrAbortHandler)
				}
			}))
			s.EnableHTTP2 = version == 2
			s.StartTLS()
			defer s.Close()
			s.Client().Transport.(*http.Transport).DisableCompression = true
			test(t, s, errs)
		})
	}
}

// get requests path. The transport does not decode the answer.
func get(t testing.TB, s *httptest.Server, path, accept string) (*http.Response, []byte, error) {
	t.Helper()
	r, err := http.NewRequest("GET", s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", accept)
	response, err := s.Client().Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response, body, err
}

func TestRoundTrips(t *testing.T) {
	page := make([]byte, 300<<10)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range page {
		page[i] = "abcdefgh\n"[random.IntN(9)]
	}
	text := string(page)
	file := filepath.Join(t.TempDir(), "page")
	if err := os.WriteFile(file, page, 0o644); err != nil {
		t.Fatal(err)
	}
	ways := map[string]func(w http.ResponseWriter, r *http.Request){
		"/at-once": func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(page) },
		"/bytes": func(w http.ResponseWriter, r *http.Request) {
			for i := range page[:1000] {
				_, _ = w.Write(page[i : i+1])
			}
			_, _ = w.Write(page[1000:])
		},
		"/reader": func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, strings.NewReader(text)) },
		"/from": func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.(io.ReaderFrom).ReadFrom(bytes.NewBuffer(bytes.Clone(page)))
		},
		"/file": func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) },
		"/flushes": func(w http.ResponseWriter, r *http.Request) {
			for part := page; len(part) > 0; part = part[min(len(part), 10000):] {
				_, _ = w.Write(part[:min(len(part), 10000)])
				_ = http.NewResponseController(w).Flush()
			}
		},
		"/hints": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusOK)
			_, _ = w.Write(page)
		},
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		ways[r.URL.Path](w, r)
	}
	protocols(t, compressor(t, Options{}), handler, func(t *testing.T, s *httptest.Server, errs <-chan error) {
		for path := range ways {
			for _, coding := range []string{"", "gzip", "zstd"} {
				response, body, err := get(t, s, path, coding)
				if err != nil || response.Header.Get("Content-Encoding") != coding || decode(t, coding, body) != text {
					t.Errorf("%s with %q: %v, %d bytes, %v", path, coding, err, len(body), response)
				}
				if err := <-errs; err != nil {
					t.Errorf("%s with %q: finish: %v", path, coding, err)
				}
			}
		}
	})
}

func TestTrailersPass(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/plain")
		h.Set("Trailer", "Announced, Repr-Digest")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, long[:len(long)/len(r.URL.Path)])
		if r.URL.Path == "/flushed" {
			_ = http.NewResponseController(w).Flush()
		}
		h.Set("Announced", "a")
		h.Set("Repr-Digest", "x")
		h.Set(http.TrailerPrefix+"Unannounced", "u")
		h.Set(http.TrailerPrefix+"Content-Digest", "x")
	}
	protocols(t, compressor(t, Options{}), handler, func(t *testing.T, s *httptest.Server, _ <-chan error) {
		for _, path := range []string{"/", "/flushed"} {
			for _, coding := range []string{"", "gzip", "zstd"} {
				response, _, err := get(t, s, path, coding)
				if err != nil {
					t.Fatal(err)
				}
				digests := map[bool]string{true: "x"}[coding == ""]
				for name, want := range map[string]string{"Announced": "a", "Unannounced": "u", "Repr-Digest": digests, "Content-Digest": digests} {
					if got := response.Trailer.Get(name); got != want {
						t.Errorf("%s with %q: trailer %s is %q, want %q", path, coding, name, got, want)
					}
				}
				if response.Header.Get("Announced") != "" {
					t.Errorf("%s with %q: a trailer is among the headers %v", path, coding, response.Header)
				}
			}
		}
	})
}

func TestAShortAnswerHasItsTrailersBehindIt(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Trailer", "Sum")
		_, _ = io.WriteString(w, "short")
		w.Header().Set("Sum", "5")
	}
	protocols(t, compressor(t, Options{}), handler, func(t *testing.T, s *httptest.Server, _ <-chan error) {
		response, body, err := get(t, s, "/", "gzip")
		if err != nil || string(body) != "short" || response.Header.Get("Sum") != "" || response.Trailer.Get("Sum") != "5" {
			t.Errorf("got %v, %q, %v", err, body, response)
		}
	})
}

func TestWhatIsFlushedEarlyPassesAtOnce(t *testing.T) {
	more := make(chan string)
	handler := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for text := range more {
			_, _ = io.WriteString(w, text)
			_ = http.NewResponseController(w).Flush()
		}
	}
	protocols(t, compressor(t, Options{}), handler, func(t *testing.T, s *httptest.Server, _ <-chan error) {
		more = make(chan string, 1)
		more <- "one"
		response, err := s.Client().Transport.RoundTrip(request(t, s, "gzip"))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		got := make([]byte, 3)
		if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != "one" {
			t.Errorf("got %q, %v before the rest", got, err)
		}
		more <- long
		close(more)
		rest, err := io.ReadAll(response.Body)
		if err != nil || string(rest) != long || response.Header.Get("Content-Encoding") != "" || response.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("then %q, %v, %v", rest, err, response.Header)
		}
	})
}

func request(t testing.TB, s *httptest.Server, accept string) *http.Request {
	t.Helper()
	r, err := http.NewRequest("GET", s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", accept)
	return r
}

func TestAFlushSendsWhatIsCompressed(t *testing.T) {
	rest := make(chan struct{})
	handler := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, long)
		_ = http.NewResponseController(w).Flush()
		<-rest
		_, _ = io.WriteString(w, "the end")
	}
	for _, coding := range []string{"gzip", "zstd"} {
		protocols(t, compressor(t, Options{}), handler, func(t *testing.T, s *httptest.Server, _ <-chan error) {
			rest = make(chan struct{})
			response, err := s.Client().Transport.RoundTrip(request(t, s, coding))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			content := decoder(t, coding, response.Body)
			got := make([]byte, len(long))
			if _, err := io.ReadFull(content, got); err != nil || string(got) != long {
				t.Errorf("%s: got %q, %v before the end", coding, got, err)
			}
			close(rest)
			if end, err := io.ReadAll(content); err != nil || string(end) != "the end" {
				t.Errorf("%s: the end is %q, %v", coding, end, err)
			}
		})
	}
}

func TestAnAnswerThatBreaksOffHasNoCleanEnd(t *testing.T) {
	handlers := map[string]http.HandlerFunc{
		"panics": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, long)
			panic(http.ErrAbortHandler)
		},
		"panics after little": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "a")
			panic(http.ErrAbortHandler)
		},
		"panics after a flush": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, long)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
		"writes less than it said": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "4301")
			_, _ = io.WriteString(w, long)
		},
	}
	for name, h := range handlers {
		t.Run(name, func(t *testing.T) {
			c := compressor(t, Options{})
			broken := true
			handler := func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				if broken {
					h(w, r)
				} else {
					_, _ = io.WriteString(w, long)
				}
			}
			protocols(t, c, handler, func(t *testing.T, s *httptest.Server, _ <-chan error) {
				broken = true
				if response, body, err := get(t, s, "/", "gzip"); err == nil {
					t.Errorf("got a whole answer, %d bytes: %v", len(body), response)
				}
				broken = false
				if response, body, err := get(t, s, "/", "gzip"); err != nil || decode(t, "gzip", body) != long {
					t.Errorf("the next answer is %v, %v, %d bytes", err, response, len(body))
				}
			})
		})
	}
}

func TestMoreThanTheDeclaredLengthIsRefused(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", "4300")
		_, _ = io.WriteString(w, long)
		if _, err := io.WriteString(w, "x"); !errors.Is(err, http.ErrContentLength) {
			t.Errorf("the write of one byte too much: %v", err)
		}
	}
	protocols(t, compressor(t, Options{}), handler, func(t *testing.T, s *httptest.Server, _ <-chan error) {
		if response, body, err := get(t, s, "/", "zstd"); err != nil || decode(t, "zstd", body) != long {
			t.Errorf("got %v, %v, %d bytes", err, response, len(body))
		}
	})
}

func TestTheWeakTagIsAnsweredBy304(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Content-Type", "text/plain")
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(long))
	}
	protocols(t, compressor(t, Options{}), handler, func(t *testing.T, s *httptest.Server, _ <-chan error) {
		response, _, err := get(t, s, "/", "gzip")
		if err != nil {
			t.Fatal(err)
		}
		tag := response.Header.Get("ETag")
		r := request(t, s, "gzip")
		r.Header.Set("If-None-Match", tag)
		again, err := s.Client().Transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Body.Close()
		if tag != `W/"v1"` || again.StatusCode != 304 || again.Header.Get("ETag") != tag || again.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("tag %s, then %d %v", tag, again.StatusCode, again.Header)
		}
	})
}

func TestTheConnectionCanBeReached(t *testing.T) {
	c := compressor(t, Options{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, finish := c.Wrap(w, asMessage(r))
		control := http.NewResponseController(x)
		if err := control.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Errorf("SetWriteDeadline: %v", err)
		}
		conn, buf, err := control.Hijack()
		if err != nil {
			t.Errorf("Hijack: %v", err)
			return
		}
		defer conn.Close()
		_, _ = buf.WriteString("hijacked\n")
		_ = buf.Flush()
		if err := finish(); err != nil {
			t.Errorf("finish: %v", err)
		}
	}))
	defer s.Close()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); line != "hijacked\n" {
		t.Errorf("got %q, %v", line, err)
	}
}

func TestFilesReachTheSocketUnlessCompressed(t *testing.T) {
	c := compressor(t, Options{})
	for kind, want := range map[string]bool{"image/png": true, "text/plain": false} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept-Encoding", "gzip")
		under := &reading{ResponseRecorder: httptest.NewRecorder()}
		w, finish := c.Wrap(under, asMessage(r))
		w.Header().Set("Content-Type", kind)
		n, err := w.(io.ReaderFrom).ReadFrom(io.LimitReader(strings.NewReader(long), int64(len(long))))
		if err := errors.Join(err, finish()); err != nil || n != int64(len(long)) || under.used != want {
			t.Errorf("ReadFrom of %s = %d, %v; the writer's own is used: %v, want %v", kind, n, err, under.used, want)
		}
	}
}

type reading struct {
	*httptest.ResponseRecorder
	used bool
}

func (r *reading) ReadFrom(src io.Reader) (int64, error) {
	r.used = true
	return io.Copy(r.ResponseRecorder, src)
}

func TestWritesAfterTheEndFail(t *testing.T) {
	w, finish := compressor(t, Options{}).Wrap(httptest.NewRecorder(), asMessage(httptest.NewRequest("GET", "/", nil)))
	if err := finish(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("late")); !errors.Is(err, errFinished) {
		t.Errorf("Write = %v", err)
	}
	if err := http.NewResponseController(w).Flush(); !errors.Is(err, errFinished) {
		t.Errorf("Flush = %v", err)
	}
}

// TestManyAtOnce is for the race detector: clients that read everything, clients
// that leave, and handlers that panic share encoders.
func TestManyAtOnce(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		for i := range 40 {
			if _, err := io.WriteString(w, r.URL.Path+long); err != nil || i == 20 && r.URL.Path == "/panic" {
				panic(http.ErrAbortHandler)
			}
		}
	}
	protocols(t, compressor(t, Options{}), handler, func(t *testing.T, s *httptest.Server, _ <-chan error) {
		var wg sync.WaitGroup
		for i := range 24 {
			coding := []string{"gzip", "zstd"}[i%2]
			wg.Go(func() {
				switch i % 6 {
				case 4:
					if _, _, err := get(t, s, "/panic", coding); err == nil {
						t.Error("a panic had a clean end")
					}
				case 5:
					response, err := s.Client().Transport.RoundTrip(request(t, s, coding))
					if err == nil {
						response.Body.Close()
					}
				default:
					path := fmt.Sprint("/", i)
					_, body, err := get(t, s, path, coding)
					if err != nil {
						t.Error(err)
					} else if got := decode(t, coding, body); got != strings.Repeat(path+long, 40) {
						t.Errorf("%s: %d bytes of another answer", path, len(got))
					}
				}
			})
		}
		wg.Wait()
	})
}
