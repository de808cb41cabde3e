//go:build unix

package backend

import (
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"sluice/internal/limit"
	"sluice/internal/wstest"
)

func TestDialsWithoutDescriptors(t *testing.T) {
	address := plain(t)
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
			l := one(t, e, Settings{})
			undo := wstest.NoDescriptors(t)
			_, dialed := l.Dial(t.Context())
			r, err := http.NewRequestWithContext(t.Context(), "GET", "/", nil)
			if err != nil {
				t.Fatal(err)
			}
			_, sent := l.RoundTrip(r)
			errs := map[string]error{"Dial": dialed, "RoundTrip": sent}
			if e.Streams {
				_, _, errs["Stream"] = askStream(t, l)
			}
			undo()
			for call, err := range errs {
				if ShortageOf(err) != limit.NoDescriptors || !errors.As(err, new(*DialError)) {
					t.Errorf("%s = %v; want a *DialError for want of descriptors", call, err)
				}
			}
		})
	}
}

// Who waits for the first answer of DNS is told why there is none; a name that
// was looked up before keeps its addresses.
func TestLookupsWithoutDescriptors(t *testing.T) {
	d := wstest.NewDNS(t)
	d.Set("known.test", ip("127.0.0.1"))
	d.Set("new.test", ip("127.0.0.1"))
	var told events
	settings := Settings{DNS: DNS{Server: d.Address, MinTTL: time.Millisecond, MaxTTL: time.Millisecond}}
	settings.Endpoints = []Endpoint{{Name: "known", Network: "tcp", Address: "known.test:80"}}
	known := New("known", settings, nil)
	settings.Endpoints = []Endpoint{{Name: "new", Network: "tcp", Address: "new.test:80"}}
	fresh := New("new", settings, told.tell)
	run(t, known)
	until(t, known, "known (127.0.0.1:80)")

	undo := wstest.NoDescriptors(t)
	run(t, fresh)
	_, err := fresh.Acquire(t.Context(), Need{}, &Tried{})
	_, still := known.Acquire(t.Context(), Need{}, &Tried{})
	undo()
	if ShortageOf(err) != limit.NoDescriptors {
		t.Errorf("Acquire of a name that was not looked up = %v; want that there are no descriptors", err)
	}
	if still != nil {
		t.Errorf("Acquire of a name that was looked up = %v", still)
	}
	until(t, fresh, "new (127.0.0.1:80)")
	until(t, known, "known (127.0.0.1:80)")
	for _, e := range told.all {
		if e != "new: name could not be looked up" {
			t.Errorf("told %q", e)
		}
	}
}
