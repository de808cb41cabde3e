//go:build unix

package backend

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"sluice/internal/limit"
	"sluice/internal/wstest"
	"sluice/proxy/backend/dial"
)

func TestDialsWithoutDescriptors(t *testing.T) {
	address := plainServer(t)
	_, port, _ := net.SplitHostPort(address)
	dns := wstest.NewDNS(t)
	_, nowhere, _ := net.SplitHostPort(dns.Address)
	endpoints := map[string]Endpoint{
		"plain":           {Network: "tcp", Address: address},
		"HTTP/2":          {Network: "tcp", Address: address, HTTP2: true, Streams: true},
		"a name":          {Network: "tcp", Address: "localhost:" + port},
		"an unknown name": {Network: "tcp", Address: "none.invalid:" + nowhere},
	}
	for name, e := range endpoints {
		t.Run(name, func(t *testing.T) {
			l := leaseOf(t, e)
			undo := wstest.NoDescriptors(t)
			_, dialed := l.Dial(t.Context())
			r, err := http.NewRequestWithContext(t.Context(), "GET", "/", nil)
			if err != nil {
				t.Fatal(err)
			}
			_, sent := l.RoundTrip(r)
			errs := map[string]error{"Dial": dialed, "RoundTrip": sent}
			if e.Streams {
				_, _, errs["Stream"] = l.Stream(t.Context(), &http.Request{
					Method: http.MethodConnect, URL: &url.URL{Path: "/"}, Host: "a", Header: http.Header{":protocol": {"websocket"}},
				})
			}
			undo()
			for call, err := range errs {
				if limit.ShortageOf(err) != limit.NoDescriptors || !errors.As(err, new(*dial.Error)) {
					t.Errorf("%s = %v; want a *dial.Error for want of descriptors", call, err)
				}
			}
		})
	}
}

// Without descriptors, the first look-up of a name fails for that reason. A name
// that was looked up before keeps its addresses.
func TestLookupsWithoutDescriptors(t *testing.T) {
	d := wstest.NewDNS(t)
	d.Set("known.test", ip("127.0.0.1"))
	d.Set("new.test", ip("127.0.0.1"))
	var got events
	settings := Settings{DNS: DNS{Server: d.Address, MinTTL: time.Millisecond, MaxTTL: time.Millisecond}}
	settings.Endpoints = []Endpoint{{Name: "known", Network: "tcp", Address: "known.test:80"}}
	known := New("known", settings, nil)
	settings.Endpoints = []Endpoint{{Name: "new", Network: "tcp", Address: "new.test:80"}}
	unknown := New("new", settings, got.add)
	run(t, known)
	waitForEndpoints(t, known, "known (127.0.0.1:80)")

	undo := wstest.NoDescriptors(t)
	run(t, unknown)
	_, err := unknown.Acquire(t.Context(), Need{}, &Tried{})
	_, still := known.Acquire(t.Context(), Need{}, &Tried{})
	undo()
	if limit.ShortageOf(err) != limit.NoDescriptors {
		t.Errorf("Acquire of a name without an answer = %v; want an error for want of descriptors", err)
	}
	if still != nil {
		t.Errorf("Acquire of a name with an answer = %v; want a lease", still)
	}
	waitForEndpoints(t, unknown, "new (127.0.0.1:80)")
	waitForEndpoints(t, known, "known (127.0.0.1:80)")
	for _, e := range got.all {
		if e != "new: name could not be looked up" {
			t.Errorf("event %q; want only failed look-ups of new", e)
		}
	}
}
