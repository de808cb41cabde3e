package tracing

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// ok returns a collector that takes all.
func ok() *answers { return &answers{queue: []http.Response{{StatusCode: 200, Body: http.NoBody}}} }

// Where the options change, what waits goes where it would have gone, also if that is asked again now.
func TestAChangeOfTheCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := &answers{queue: []http.Response{{StatusCode: 503, Body: http.NoBody}, {StatusCode: 200, Body: http.NoBody}}}
		next := &answers{queue: []http.Response{{StatusCode: 200, Body: http.NoBody}}}
		e := export(t, &Options{Endpoint: "http://old.test", Sample: 1}, old, next)
		e.request()
		time.Sleep(batchTime + firstPause/2) // it is asked again after the other half
		e.Configure(&Options{Endpoint: "http://new.test", Sample: 1})
		if len(old.asked()) != 2 || len(next.asked()) != 0 || e.exported.Load() != 2 {
			t.Errorf("the old one was asked %d times, the new one %d times, %d exported; want 2, 0, 2", len(old.asked()), len(next.asked()), e.exported.Load())
		}
		e.request()
		time.Sleep(batchTime)
		if len(next.asked()) != 1 {
			t.Errorf("the new one was asked %d times, want 1", len(next.asked()))
		}
		e.request()
		e.Configure(nil)
		synctest.Wait()
		e.request()
		time.Sleep(time.Hour)
		if len(next.asked()) != 2 || e.exported.Load() != 6 || e.dropped.Load() != 0 {
			t.Errorf("after it is off: asked %d times, %d exported, %d dropped; want 2, 6, 0", len(next.asked()), e.exported.Load(), e.dropped.Load())
		}
		e.stop()
	})
}

// A collector that is slow does not keep a reload from another one, which gets all that comes then and
// nothing of before.
func TestAChangeOfTheCollectorUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, next := ok(), ok()
		old.takes = time.Second
		e := export(t, &Options{Endpoint: "http://old.test", Sample: 1}, old, next)
		for range 2 * batchSpans { // four batches
			e.requestTo("o")
		}
		time.Sleep(old.takes / 2)
		e.Configure(&Options{Endpoint: "http://new.test", Sample: 1})
		for range 2 * batchSpans {
			e.requestTo("n")
		}
		time.Sleep(time.Hour)
		if before, then := len(old.asked()), len(next.asked()); before != 4 || then != 4 {
			t.Errorf("the old one was asked %d times and the new one %d times, want 4 and 4", before, then)
		}
		if want := strings.Repeat("o", 2*batchSpans); old.got != want {
			t.Errorf("the old one got %d requests of before and %d of after", strings.Count(old.got, "o"), strings.Count(old.got, "n"))
		}
		if want := strings.Repeat("n", 2*batchSpans); next.got != want {
			t.Errorf("the new one got %d requests of before and %d of after", strings.Count(next.got, "o"), strings.Count(next.got, "n"))
		}
		e.stop()
	})
}

// However long it would take until the old collector has all that waits, the new one waits for a bounded
// time.
func TestTheNewCollectorWaitsForABoundedTime(t *testing.T) {
	for name, takes := range map[string]time.Duration{"the old one hangs": time.Hour, "the old one is slow": 2 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				old, next := ok(), ok()
				old.takes = takes
				e := export(t, &Options{Endpoint: "http://old.test", Sample: 1}, old, next)
				for range mostQueued / 2 { // 16 batches
					e.requestTo("o")
				}
				synctest.Wait()
				e.Configure(&Options{Endpoint: "http://new.test", Sample: 1})
				e.requestTo("n")
				time.Sleep(requestTime + flushTime + batchTime)
				if next.asked(); next.got != "n" {
					t.Errorf("the new one got %q, want the request after the change", next.got)
				}
				e.stop()
			})
		})
	}
}

// What comes between the change and the moment in which Run sees it is not lost.
func TestWhatComesRightAfterItIsOnIsExported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := ok(), ok(), ok()
		e := export(t, &Options{Endpoint: "http://a.test", Sample: 1}, a, b, c)
		e.requestTo("a")
		e.Configure(&Options{Endpoint: "http://b.test", Sample: 1})
		e.requestTo("b")
		e.Configure(nil)
		e.requestTo("nowhere")
		e.Configure(&Options{Endpoint: "http://c.test", Sample: 1})
		e.requestTo("c")
		time.Sleep(time.Hour)
		if a.asked(); a.got+","+b.got+","+c.got != "a,b,c" || e.dropped.Load() != 0 {
			t.Errorf("the collectors got %q, %q, %q; %d dropped", a.got, b.got, c.got, e.dropped.Load())
		}
		e.stop()
	})
}

// A reload that leaves the collector as it is does not disturb an export that is made again later.
func TestAReloadOfTheSameCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{queue: []http.Response{{StatusCode: 429, Header: http.Header{"Retry-After": {"20"}}, Body: http.NoBody}, {StatusCode: 200, Body: http.NoBody}}}
		e := export(t, &Options{Endpoint: "http://a.test", Sample: 1, Headers: map[string]string{"A": "b"}}, a)
		e.request()
		time.Sleep(batchTime + time.Second)
		e.Configure(&Options{Endpoint: "http://a.test", Sample: 0.5, Headers: map[string]string{"A": "b"}})
		time.Sleep(time.Minute)
		if times := a.asked(); len(times) != 2 || times[1].Sub(times[0]) != 20*time.Second {
			t.Errorf("asked at %v, want twice in 20 s", times)
		}
		e.stop()
	})
}

// A dial goes on when the request that began it is over. It must not keep the next request waiting.
func TestACollectorThatNeverSpeaksTLS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	silent := make(chan net.Conn, 1)
	go func() {
		defer close(silent)
		if c, err := l.Accept(); err == nil {
			silent <- c
			cancel()
		}
	}()
	authorities := x509.NewCertPool()
	d := New(Env{}).destination(&Options{Endpoint: "https://" + l.Addr().String(), Authorities: authorities})
	defer d.close()
	if err := d.send(ctx, make([]span, 1)); !errors.Is(err, context.Canceled) {
		t.Fatalf("send = %v, want that it is cut", err)
	}
	defer (<-silent).Close()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Listener.Close()
	s.Listener = l
	s.StartTLS()
	defer s.Close()
	authorities.AddCert(s.Certificate())
	if err := d.send(t.Context(), make([]span, 1)); err != nil {
		t.Errorf("send = %v, after the collector came back", err)
	}
}
