package tlsconf

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/wstest/certtest"
	"sluice/tlsconf/certfile"
)

// ordering is a Store whose Run is under way, in fake time.
type ordering struct {
	*Store
	t    *testing.T
	stop func()

	mu     sync.Mutex
	events []Event
	calls  map[string]func() // by the kind of event
}

// order runs a Store that orders certificates for hosts. It replaces old, which may
// be nil.
func order(t *testing.T, ca *fakeCA, cache string, old *ordering, hosts ...string) *ordering {
	t.Helper()
	var before *Store
	if old != nil {
		old.stop()
		before = old.Store
	}
	s, err := New(Options{ACME: &ACME{Directory: fakeURL + "/dir", Cache: cache, Hosts: hosts, Transport: ca}}, before)
	if err != nil {
		t.Fatal(err)
	}
	o := &ordering{Store: s, t: t}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx, func(e Event) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.events = append(o.events, e)
			if f := o.calls[e.What]; f != nil {
				f()
			}
		})
	}()
	o.stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	return o
}

// when makes f be called with the next events of that kind.
func (o *ordering) when(what string, f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls = map[string]func(){what: f}
}

// happened returns the events about host.
func (o *ordering) happened(host string) []Event {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(o.events), func(e Event) bool { return !slices.Contains(e.Names, host) })
}

// served returns the certificate that a client gets for host, or nil.
func (o *ordering) served(host string) *x509.Certificate {
	c, err := o.pick(hello(host, "", nil))
	if err != nil {
		return nil
	}
	return c.Leaf
}

func TestFailedOrdersAreRepeatedEverLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newFakeCA(t)
		ca.refuses["bad.test"] = "connection refused to 192.0.2.1"
		o := order(t, ca, t.TempDir(), nil, "bad.test", "good.test")
		defer o.stop()

		time.Sleep(time.Minute)
		if o.served("good.test") == nil || o.served("bad.test") != nil {
			t.Errorf("certificates after a minute: good %v, bad %v; want only the good one", o.served("good.test"), o.served("bad.test"))
		}
		if _, err := o.pick(hello("bad.test", "", nil)); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("pick = %v; want the reason", err)
		}
		time.Sleep(3 * 24 * time.Hour)
		failures := o.happened("bad.test")
		wait := 15 * time.Minute
		orders := ca.orders("bad.test")
		for i, e := range failures {
			want := "http-01: connection refused to 192.0.2.1; tls-alpn-01: connection refused to 192.0.2.1"
			if e.Err == nil || e.Err.Error() != want {
				t.Fatalf("failure %d: %v, want %s", i, e.Err, want)
			}
			if i > 0 {
				if gap := orders[2*i].Sub(orders[2*i-2]); gap < wait || gap > wait+time.Minute {
					t.Errorf("attempt %d came after %v, want %v", i, gap, wait)
				}
				wait = min(2*wait, 12*time.Hour)
			}
		}
		if n := len(failures); n < 8 || n > 14 || len(orders) != 2*n {
			t.Errorf("%d attempts with %d orders in three days; want 8 to 14, and two orders each", n, len(orders))
		}
		status := o.Names()
		if s := status[0]; s.Err == nil || !s.Next.After(time.Now()) || s.From != "acme" {
			t.Errorf("Names()[0] = %+v; want the error and the next try", s)
		}
		if s := status[1]; s.Err != nil || s.Expiry.IsZero() {
			t.Errorf("Names()[1] = %+v; want no error and an expiry", s)
		}

		ca.change(func() { delete(ca.refuses, "bad.test") })
		time.Sleep(13 * time.Hour)
		if o.served("bad.test") == nil || o.Names()[0].Err != nil {
			t.Errorf("after the CA stopped refusing: %+v", o.Names()[0])
		}
	})
}

func TestCAThatCannotServe(t *testing.T) {
	tests := []struct {
		name   string
		fault  func(*fakeCA)
		reason string
		wait   time.Duration
	}{
		{"down", func(c *fakeCA) { c.down = true }, "ca.test cannot be reached: no route to host", 2 * time.Minute},
		{"busy for long", func(c *fakeCA) { c.busy = "7200" }, "too many", 2 * time.Hour},
		{"busy for short", func(c *fakeCA) { c.busy = "1" }, "too many", 2 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ca := newFakeCA(t)
				tt.fault(ca)
				o := order(t, ca, t.TempDir(), nil, "a.test")
				defer o.stop()
				time.Sleep(time.Minute)
				got := o.happened("a.test")
				if len(got) != 1 || !strings.Contains(got[0].Err.Error(), tt.reason) {
					t.Fatalf("reported %+v; want %q once", got, tt.reason)
				}
				if wait := time.Until(got[0].Next); wait > tt.wait || wait < tt.wait-time.Minute {
					t.Errorf("the next try is in %v, want about %v", wait, tt.wait)
				}
				ca.change(func() { ca.down, ca.busy = false, "" })
				time.Sleep(tt.wait + time.Minute)
				if o.served("a.test") == nil {
					t.Error("no certificate after the CA came back")
				}
			})
		})
	}
}

func TestChallengesThatTheCAOffers(t *testing.T) {
	tests := []struct {
		name    string
		offers  []string
		token   string
		refused bool
		orders  int
		want    string // the reason, "" for a certificate
	}{
		{"HTTP-01 alone", []string{"dns-01", "http-01"}, "abc-_1", false, 1, ""},
		{"HTTP-01 alone, refused", []string{"dns-01", "http-01"}, "abc-_1", true, 1, "http-01: no"},
		{"TLS-ALPN-01 alone", []string{"tls-alpn-01"}, "abc-_1", false, 1, ""},
		{"TLS-ALPN-01 alone, refused", []string{"tls-alpn-01"}, "abc-_1", true, 2, "the CA offers no challenge that can be answered; tls-alpn-01: no"},
		{"none of the two", []string{"dns-01"}, "abc-_1", false, 1, "the CA offers no challenge that can be answered"},
		{"a token that is a path", []string{"http-01"}, "../../x", false, 1, `http-01: the CA's token "../../x" is none`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ca := newFakeCA(t)
				ca.offers, ca.token = tt.offers, tt.token
				if tt.refused {
					ca.refuses["a.test"] = "no"
				}
				o := order(t, ca, t.TempDir(), nil, "a.test")
				defer o.stop()
				time.Sleep(time.Minute)
				got, reason := o.happened("a.test"), ""
				if len(got) == 1 && got[0].Err != nil {
					reason = got[0].Err.Error()
				}
				if n := len(ca.orders("a.test")); n != tt.orders || len(got) != 1 || reason != tt.want || (o.served("a.test") == nil) != (tt.want != "") {
					t.Errorf("%d orders, reported %+v; want %d orders and the reason %q", n, got, tt.orders, tt.want)
				}
			})
		})
	}
}

// When a certificate is told of, a process that starts then finds it.
func TestCertificateIsKeptBeforeItIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, cache := newFakeCA(t), t.TempDir()
		o := order(t, ca, cache, nil, "a.test")
		defer o.stop()
		looked := false
		o.when("certificate issued", func() {
			looked = true
			next, err := New(Options{ACME: &ACME{Directory: fakeURL + "/dir", Cache: cache, Hosts: []string{"a.test"}, Transport: ca}}, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := next.pick(hello("a.test", "", nil)); err != nil {
				t.Errorf("the next process has no certificate: %v", err)
			}
		})
		time.Sleep(time.Minute)
		if got := o.happened("a.test"); len(got) != 1 || !looked {
			t.Errorf("reported %+v, looked: %t; want the certificate", got, looked)
		}
	})
}

// A certificate that cannot be written to the cache is used, and not ordered again.
func TestCertificateThatCannotBeKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, cache := newFakeCA(t), t.TempDir()
		ca.issues = func() { // a directory in the place of the certificate's file
			dirs, err := filepath.Glob(filepath.Join(cache, "ca.test-*"))
			if err != nil || len(dirs) != 1 {
				t.Errorf("the cache holds %q, %v; want one directory", dirs, err)
				return
			}
			if err := os.MkdirAll(filepath.Join(dirs[0], "a.test", "in the way"), 0o700); err != nil {
				t.Error(err)
			}
		}
		o := order(t, ca, cache, nil, "a.test")
		defer o.stop()
		time.Sleep(time.Hour)
		got := o.happened("a.test")
		if len(got) != 2 || got[0].What != "certificate issued" || got[1].What != "certificate is not kept over restarts" || got[1].Err == nil {
			t.Errorf("reported %+v; want the certificate, and that it is not kept", got)
		}
		if n := len(ca.orders("a.test")); n != 1 || o.served("a.test") == nil {
			t.Errorf("%d orders; want 1, and the certificate in use", n)
		}
	})
}

func TestRenewal(t *testing.T) {
	const day = 24 * time.Hour
	synctest.Test(t, func(t *testing.T) {
		ca, cache := newFakeCA(t), t.TempDir()
		o := order(t, ca, cache, nil, "a.test", "gone.test")
		time.Sleep(time.Minute)
		first := o.served("a.test")
		o = order(t, ca, cache, o, "a.test") // a reload without the other
		defer func() { o.stop() }()
		time.Sleep(4*day + time.Hour)
		if c := o.served("a.test"); c == nil || c.Equal(first) || len(ca.orders("a.test")) != 2 {
			t.Errorf("after two thirds of its life: the same %t, %d orders; want another by a second order", c.Equal(first), len(ca.orders("a.test")))
		}
		if got := o.happened("a.test"); len(got) != 1 || got[0].What != "certificate renewed" {
			t.Errorf("reported %+v; want the renewal", got)
		}

		// A renewal that fails is reported, and the old certificate stays in use.
		ca.change(func() { ca.refuses["a.test"] = "unknown host" })
		time.Sleep(5 * day)
		got := o.happened("a.test")
		if last := got[len(got)-1]; last.Err == nil || !strings.Contains(last.Err.Error(), "unknown host") || o.served("a.test") == nil {
			t.Errorf("reported %+v; want the reason, and the certificate still there", last)
		}
		if n := len(ca.orders("a.test")); n > 16 {
			t.Errorf("%d orders in a day of failures", n)
		}
		if w := o.Warnings(); len(w) != 1 || !strings.Contains(w[0], "could not be renewed: http-01: unknown host") {
			t.Errorf("Warnings = %q", w)
		}
		if n := len(ca.orders("gone.test")); n != 1 {
			t.Errorf("%d orders for a name that is not wanted any more, want 1", n)
		}
	})
}

func TestRestartOrdersNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, cache := newFakeCA(t), t.TempDir()
		o := order(t, ca, cache, nil, "a.test", "b.test")
		time.Sleep(time.Minute)
		o.stop()
		before := ca.requests
		again := order(t, ca, cache, nil, "a.test", "b.test")
		defer again.stop()
		if again.served("a.test") == nil {
			t.Error("no certificate at once")
		}
		time.Sleep(time.Hour)
		if ca.requests != before || len(again.happened("a.test")) != 0 {
			t.Errorf("%d requests more, reported %+v; want none", ca.requests-before, again.happened("a.test"))
		}
	})
}

// A reload in the middle of an order waits for it, and orders nothing again.
func TestReloadDuringAnOrder(t *testing.T) {
	for _, refused := range []string{"", "unknown host"} {
		synctest.Test(t, func(t *testing.T) {
			ca, cache := newFakeCA(t), t.TempDir()
			ca.slow = 4 * time.Second
			if refused != "" {
				ca.refuses["a.test"] = refused
			}
			o := order(t, ca, cache, nil, "a.test")
			time.Sleep(20 * time.Second) // in the first order
			o = order(t, ca, cache, o, "a.test")
			defer o.stop()
			time.Sleep(5 * time.Minute)
			orders, got := len(ca.orders("a.test")), o.happened("a.test")
			want := 1
			if refused != "" {
				want = 2 // one for each challenge
			}
			if orders != want || len(got) != 1 || (got[0].Err == nil) != (refused == "") || (o.served("a.test") == nil) != (refused != "") {
				t.Errorf("refused %q: %d orders, reported %+v; want %d orders and one report", refused, orders, got, want)
			}
		})
	}
}

// Two processes on one cache order and renew each name once.
func TestSharedCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, cache := newFakeCA(t), t.TempDir()
		ca.life, ca.slow = 10*time.Minute, 4*time.Second // orders and renewals take long enough to meet
		var both []*ordering
		for range 2 {
			o := order(t, ca, cache, nil, "a.test", "b.test")
			defer o.stop()
			both = append(both, o)
		}
		for when, want := range []int{1, 2} {
			time.Sleep([]time.Duration{3 * time.Minute, 8 * time.Minute}[when])
			if got := ca.total(); !reflect.DeepEqual(got, map[string]int{"a.test": want, "b.test": want}) {
				t.Errorf("orders: %v, want %d each", got, want)
			}
			if a, b := both[0].served("a.test"), both[1].served("a.test"); a == nil || !a.Equal(b) {
				t.Errorf("round %d: the two serve different certificates", when)
			}
		}
	})
}

// Only the CA gets answers to challenges. A stranger cannot make the gateway order
// a certificate or read other files of the cache.
func TestChallengesAreForTheCA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, cache := newFakeCA(t), t.TempDir()
		o := order(t, ca, cache, nil, "a.test")
		defer o.stop()
		time.Sleep(time.Minute)
		dirs, err := filepath.Glob(filepath.Join(cache, "ca.test-*"))
		if err != nil || len(dirs) != 1 {
			t.Fatalf("the cache holds %q, %v; want one directory", dirs, err)
		}
		if err := os.WriteFile(filepath.Join(dirs[0], "abc_-1+http-01"), []byte("the answer"), 0o600); err != nil {
			t.Fatal(err)
		}
		const challengePath = "/.well-known/acme-challenge/"
		tests := []struct {
			method, path string
			want         bool
		}{
			{"GET", challengePath + "abc_-1", true},
			{"POST", challengePath + "abc_-1", false},
			{"GET", challengePath + "other", false},
			{"GET", challengePath, false},
			{"GET", challengePath + "../abc_-1", false},
			{"GET", challengePath + "a.test", false},
			{"GET", challengePath + "acme_account+key", false},
			{"GET", challengePath + strings.Repeat("a", 300), false},
			{"GET", "/abc_-1", false},
		}
		for _, tt := range tests {
			w := httptest.NewRecorder()
			r := &http.Request{Method: tt.method, URL: certtest.Must(http.NewRequest(tt.method, "http://a.test"+tt.path, nil)).URL}
			if got := o.Challenge(w, r); got != tt.want || got && w.Body.String() != "the answer" {
				t.Errorf("Challenge(%s %s) = %t with %q, want %t", tt.method, tt.path, got, w.Body, tt.want)
			}
		}
		h := hello("stranger.test", "", nil)
		h.SupportedProtos = []string{"acme-tls/1"}
		if _, err := o.ConfigFor(h, true).GetCertificate(h); err == nil {
			t.Error("a stranger got the certificate of a challenge")
		}
		h = hello("stranger.test", "", nil)
		if c := o.ConfigFor(h, true); !slices.Equal(c.NextProtos, []string{"h2", "http/1.1"}) {
			t.Errorf("other clients are offered %q", c.NextProtos)
		}
		if n := ca.total(); len(n) != 1 {
			t.Errorf("orders: %v", n)
		}
		err = filepath.WalkDir(cache, func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err == nil && path != cache && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %v; others must not read it", path, info.Mode())
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestFilesAndLocalCASaveOrders(t *testing.T) {
	s, err := New(Options{
		Files:      []certfile.File{write(t, certtest.Spec{Names: []string{"file.test", "*.wild.test"}}, "file")},
		SelfSigned: []string{"local.test"},
		StateDir:   t.TempDir(),
		ACME: &ACME{
			Cache: t.TempDir(), Hosts: []string{"file.test", "a.wild.test", "a.b.wild.test", "local.test", "new.test", "NEW.test"},
			Listed: []string{"file.test"},
		},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"file.test", "a.b.wild.test", "new.test"}; !slices.Equal(s.hosts, want) {
		t.Errorf("orders for %q, want %q", s.hosts, want)
	}
	if c, err := s.pick(hello("file.test", "", nil)); err != nil || sourceOf(s, c) != "file" {
		t.Errorf("pick(file.test) = %v; want the file while there is no other", err)
	}
}

func TestCanOrder(t *testing.T) {
	for host, want := range map[string]string{
		"a.test": "", "a-b.example.co.uk": "",
		"": "no host", "*.a.test": "wildcard", "192.0.2.1": "IP address", "2001:db8::1": "IP address", "localhost": "dot", "a..test": "neither",
	} {
		if err := CanOrder(host); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("CanOrder(%q) = %v, want %q", host, err, want)
		}
	}
}
