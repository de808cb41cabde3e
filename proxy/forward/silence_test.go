package forward

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// scripted is a body that does one of its steps in each Read.
type scripted struct{ steps []func([]byte) (int, error) }

func (s *scripted) Read(p []byte) (int, error) {
	next := s.steps[0]
	s.steps = s.steps[1:]
	return next(p)
}

func (s *scripted) Close() error { return nil }

func TestSilenceIsLimited(t *testing.T) {
	const limit = time.Minute
	var taken atomic.Int64
	cancelled := make(chan error, 1)
	late := func(after time.Duration) func([]byte) (int, error) {
		return func([]byte) (int, error) {
			select {
			case <-time.After(after):
				return 1, nil
			case err := <-cancelled:
				return 0, err
			}
		}
	}
	uploading := func([]byte) (int, error) {
		for range 10 {
			time.Sleep(limit - 1)
			taken.Add(1)
		}
		return 1, nil
	}
	idle := func() { time.Sleep(10 * limit) } // between two reads
	tests := []struct {
		name   string
		steps  []func([]byte) (int, error)
		silent bool
	}{
		{"never silent", []func([]byte) (int, error){late(0), late(0), late(0)}, false},
		{"nearly too long each time", []func([]byte) (int, error){late(limit - 1), late(limit - 1), late(limit - 1)}, false},
		{"too long at first", []func([]byte) (int, error){late(limit + 1)}, true},
		{"too long in the middle", []func([]byte) (int, error){late(1), late(limit + 1)}, true},
		{"not while it takes the request", []func([]byte) (int, error){late(1), uploading, late(1)}, false},
		{"too long after it took the request", []func([]byte) (int, error){uploading, late(limit + 1)}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cancelled = make(chan error, 1)
				b := &timedBody{ReadCloser: &scripted{tt.steps}, limit: limit, taken: taken.Load, cancel: func(err error) { cancelled <- err }}
				var err error
				for range tt.steps {
					if _, err = b.Read(nil); err != nil {
						break
					}
					idle()
				}
				if silent := errors.As(err, new(errSilent)); silent != tt.silent {
					t.Errorf("Read = %v; want the error of a silent backend: %v", err, tt.silent)
				}
			})
		})
	}
}

// An exchange ends if its backend hangs in the middle of an answer, over HTTP/1.1 and
// HTTP/2. The error names the side and the time.
func TestBackendHangsInsideItsAnswer(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2"} {
		t.Run(proto, func(t *testing.T) {
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, "some of it")
				http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}))
			s.Config.Protocols = new(http.Protocols)
			s.Config.Protocols.SetHTTP1(proto == "HTTP/1.1")
			s.Config.Protocols.SetUnencryptedHTTP2(proto == "HTTP/2")
			s.Start()
			t.Cleanup(s.Close)
			b := backendAt{s.Listener.Addr().String(), &http.Transport{Protocols: s.Config.Protocols}}
			t.Cleanup(b.transport.CloseIdleConnections)
			g := startGateway(t, "", func(x *Exchange) { x.Backend, x.Silence = b, 100*time.Millisecond })
			res, body, err := ask(t, g, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			if res == nil || res.StatusCode != 200 || body != "some of it" || err == nil {
				t.Errorf("the client got %v, %q, %v; want an answer that is cut off", res, body, err)
			}
			r := g.result(t)
			var e *Error
			if !errors.As(r.Err, &e) || e.Client || r.Status != 200 || !strings.Contains(r.Err.Error(), "backend: reading the answer: ") || !strings.Contains(r.Err.Error(), "100ms") {
				t.Errorf("result = %d, %v; want 200 and a timeout of the backend", r.Status, r.Err)
			}
		})
	}
}
