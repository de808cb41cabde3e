package backend

import (
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"sluice/proxy/backend/dial"
)

// failureIf returns the error of a request that was sent, or nil.
func failureIf(failed bool) error {
	if failed {
		return io.EOF
	}
	return nil
}

// refused returns the error of an endpoint that cannot be reached.
func refused() error { return &dial.Error{Backend: "app", Err: syscall.ECONNREFUSED} }

// fail makes n requests fail at the endpoint.
func fail(t *testing.T, p *Pool, endpoint string, n int) {
	t.Helper()
	for failed := 0; failed < n; {
		l := acquire(t, p, Need{})
		if l.Endpoint() == endpoint {
			l.Report(&Tried{}, io.EOF)
			failed++
		} else {
			l.Report(&Tried{}, nil)
		}
		l.Release()
	}
}

func TestFailuresEject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := named("a", "b")
		s.Passive = Passive{Failures: 3, Eject: 10 * time.Second, MaxEject: 35 * time.Second}
		p := pool(s)
		run(t, p)
		ejectedFor := func(d time.Duration) {
			t.Helper()
			for _, check := range []struct {
				after time.Duration
				want  string
			}{{0, "ejected"}, {d - 1, "ejected"}, {1, "up"}} {
				time.Sleep(check.after)
				synctest.Wait()
				if got := state(p, "a"); got != check.want {
					t.Fatalf("%s; want %s", got, check.want)
				}
			}
		}
		fail(t, p, "a", 2)
		if got := state(p, "a"); got != "up" {
			t.Fatalf("%s after two failures; want up", got)
		}
		fail(t, p, "a", 1)
		ejectedFor(10 * time.Second)
		fail(t, p, "a", 1) // after a readmission one failure is enough
		ejectedFor(20 * time.Second)
		fail(t, p, "a", 1)
		ejectedFor(35 * time.Second)
		l := acquire(t, p, Need{})
		for l.Endpoint() != "a" {
			l = acquire(t, p, Need{})
		}
		l.Report(&Tried{}, nil)
		fail(t, p, "a", 2)
		time.Sleep(time.Hour)
		fail(t, p, "a", 1)
		ejectedFor(10 * time.Second)
	})
}

func TestRatioEjects(t *testing.T) {
	tests := []struct {
		name    string
		bad     int // of 10
		rounds  int
		between time.Duration
		want    string
	}{
		{"too few outcomes", 9, 1, 0, "up"},
		{"enough outcomes, half of them bad", 5, 2, 0, "ejected"},
		{"enough outcomes, less than half of them bad", 4, 20, 0, "up"},
		{"too few outcomes in a window", 9, 20, 2 * time.Minute, "up"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := named("a", "b")
				s.Passive = Passive{Ratio: 0.5, Window: time.Minute}
				p := pool(s)
				p.Drain("b", true)
				l := acquire(t, p, Need{})
				p.Drain("b", false)
				for range tt.rounds {
					for i := range 10 {
						l.Report(&Tried{}, failureIf(i >= 10-tt.bad))
					}
					time.Sleep(tt.between)
				}
				if got := state(p, "a"); got != tt.want {
					t.Errorf("%s; want %s", got, tt.want)
				}
			})
		})
	}
}

// Outcomes count in their own window and in the next one.
func TestRatioHasAWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := named("a", "b")
		s.Passive = Passive{Ratio: 0.5, Window: time.Minute}
		p := pool(s)
		l := acquire(t, p, Need{})
		for _, failures := range []int{0, 5, 5} {
			if got := state(p, l.Endpoint()); got != "up" {
				t.Fatalf("%s with less than half of 20 failed; want up", got)
			}
			for i := range 10 {
				l.Report(&Tried{}, failureIf(i >= 10-failures))
			}
			time.Sleep(70 * time.Second)
		}
		if got := state(p, l.Endpoint()); got != "ejected" {
			t.Errorf("%s with half of the last 20 failed; want ejected", got)
		}
	})
}

func TestTheLastEndpointIsNotEjected(t *testing.T) {
	for _, ejectLast := range []bool{false, true} {
		s := named("a", "b")
		s.Passive = Passive{Failures: 1, EjectLast: ejectLast}
		p := pool(s)
		fail(t, p, "a", 1)
		fail(t, p, "b", 1)
		if got := state(p, "b"); (got == "ejected") != ejectLast {
			t.Errorf("the last endpoint is %s after a failure; EjectLast: %v", got, ejectLast)
		}
		l, err := p.Acquire(t.Context(), Need{}, &Tried{})
		var u *UnavailableError
		if ejectLast != (errors.As(err, &u) && !u.Full && u.RetryAfter > 4*time.Second && u.RetryAfter <= 5*time.Second) {
			t.Errorf("Acquire = %v, %+v; EjectLast: %v", l, u, ejectLast)
		}
	}
}

// from returns a request of the client with a number; 0 is a client whose
// address is unknown.
func from(client int) *Tried {
	if client == 0 {
		return &Tried{}
	}
	return &Tried{From: netip.AddrFrom4([4]byte{192, 0, 2, byte(client)})}
}

// leaseAt returns a lease of the endpoint.
func leaseAt(t *testing.T, p *Pool, endpoint string) *Lease {
	t.Helper()
	for range 100 {
		l := acquire(t, p, Need{})
		if l.Endpoint() == endpoint {
			return l
		}
		defer l.Release()
	}
	t.Fatalf("%s gets no work", endpoint)
	return nil
}

// Failures that only one of several clients meets may come from what it asks for.
func TestOneClientOfSeveralEjectsNothing(t *testing.T) {
	type report struct {
		client int
		err    error
	}
	times := func(n int, all ...report) (list []report) {
		for range n {
			list = append(list, all...)
		}
		return list
	}
	attack := report{1, io.EOF}
	tests := []struct {
		name    string
		passive Passive
		reports []report
		pause   time.Duration // before the last one
		want    string
	}{
		{name: "the only client", reports: times(3, attack), want: "ejected"},
		{name: "unknown clients count as one", reports: times(3, report{0, io.EOF}), want: "ejected"},
		{name: "one of two", reports: append([]report{{2, nil}}, times(50, attack)...), want: "up"},
		{name: "one of two, where the other one is served later", reports: append(times(2, attack), report{2, nil}, attack, attack), want: "up"},
		{name: "two of two", reports: []report{{2, nil}, attack, {2, io.EOF}, attack}, want: "ejected"},
		{name: "two of three", reports: []report{{3, nil}, attack, attack, {2, io.EOF}}, want: "ejected"},
		{name: "the other client came long ago", reports: append([]report{{2, nil}}, times(3, attack)...), pause: 21 * time.Second, want: "ejected"},
		{name: "the failure of the other client was long ago", reports: []report{{2, nil}, {2, io.EOF}, attack, attack}, pause: 21 * time.Second, want: "ejected"},
		{name: "it cannot be reached, by any client", reports: append([]report{{2, nil}}, times(3, report{1, refused()})...), want: "ejected"},
		{name: "it can be reached the third time", reports: []report{{2, nil}, {1, refused()}, {1, refused()}, attack}, want: "up"},
		{name: "it serves in between", reports: []report{attack, {2, io.EOF}, {3, nil}, attack}, want: "up"},

		{name: "ratio, the only client", passive: Passive{Ratio: 0.5}, reports: times(10, report{1, nil}, attack), want: "ejected"},
		{name: "ratio, one of two", passive: Passive{Ratio: 0.5}, reports: times(30, report{2, nil}, attack, attack), want: "up"},
		{name: "ratio, two of two", passive: Passive{Ratio: 0.5}, reports: times(5, report{1, nil}, attack, report{2, nil}, report{2, io.EOF}), want: "ejected"},
		{name: "ratio, it cannot be reached", passive: Passive{Ratio: 0.5}, reports: times(10, report{2, nil}, report{1, refused()}), want: "ejected"},
		{name: "ratio, the failures of one client do not hide others", passive: Passive{Ratio: 0.5}, reports: times(10, report{2, nil}, attack, attack, attack, report{2, refused()}), want: "ejected"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := named("a", "b")
				if s.Passive = tt.passive; s.Passive.Ratio == 0 {
					s.Passive.Failures = 3
				}
				p := pool(s)
				l := leaseAt(t, p, "a")
				for i, r := range tt.reports {
					if i == len(tt.reports)-1 {
						time.Sleep(tt.pause)
					}
					l.Report(from(r.client), r.err)
				}
				if got := state(p, "a"); got != tt.want {
					t.Errorf("%s; want %s", got, tt.want)
				}
			})
		})
	}
}

// One failure ejects a readmitted endpoint again, unless only one of several
// clients meets it.
func TestOneClientOfSeveralDoesNotEjectAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := named("a", "b")
		s.Passive = Passive{Failures: 2, Eject: time.Second}
		p := pool(s)
		run(t, p)
		l := leaseAt(t, p, "a")
		for _, step := range []struct {
			name string
			t    *Tried
			err  error
			want string
		}{
			{"it cannot be reached", from(1), refused(), "up"},
			{"it still cannot be reached", from(2), refused(), "ejected"},
			{"one client of two fails after the readmission", from(1), io.EOF, "up"},
			{"the same client again", from(1), io.EOF, "up"},
			{"it cannot be reached", from(1), refused(), "ejected"},
		} {
			l.Report(step.t, step.err)
			if got := state(p, "a"); got != step.want {
				t.Fatalf("%s: %s; want %s", step.name, got, step.want)
			}
			if step.want == "ejected" {
				time.Sleep(2 * time.Second)
				synctest.Wait()
			}
		}
	})
}

// All failures of one request count for one endpoint, except for those of
// endpoints that cannot be reached.
func TestOneRequestBlamesOneEndpoint(t *testing.T) {
	s := many(9, equally)
	s.Passive = Passive{Failures: 1}
	s.Retry = Retry{Tries: 9, Budget: 1}
	p := pool(s)
	p.retries.tokens = 100
	tried := Tried{Began: time.Now(), From: from(1).From}
	errs := []error{refused(), io.EOF, refused(), io.EOF, io.ErrUnexpectedEOF}
	var got []string
	for _, err := range errs {
		l, failed := p.Acquire(t.Context(), Need{}, &tried)
		if failed != nil {
			t.Fatal(failed)
		}
		l.Fail(&tried, err)
		got = append(got, state(p, l.Endpoint()))
	}
	if want := []string{"ejected", "ejected", "ejected", "up", "up"}; !slices.Equal(got, want) {
		t.Errorf("%v are %v; want %v", errs, got, want)
	}
}

func TestAtMostAThirdIsEjected(t *testing.T) {
	for n, want := range []int{0, 0, 1, 1, 2, 2, 2, 3, 3, 3, 4} {
		for _, all := range []bool{false, true} {
			s := many(n, equally)
			s.Passive = Passive{Failures: 1, EjectLast: all}
			p := pool(s)
			if all {
				want = n
			}
			var leases []*Lease
			for range n {
				leases = append(leases, acquire(t, p, Need{}))
			}
			rand.Shuffle(n, func(i, j int) { leases[i], leases[j] = leases[j], leases[i] })
			for _, l := range leases {
				l.Report(&Tried{}, refused())
			}
			ejected := 0
			for _, s := range p.Status() {
				if s.State == "ejected" {
					ejected++
				}
			}
			if ejected != want {
				t.Errorf("%d of %d are ejected; want %d; eject_last: %v", ejected, n, want, all)
			}
		}
	}
}

// However many clients there are, a window remembers only two addresses.
func TestAWindowRemembersTwoClients(t *testing.T) {
	var now, before clients
	for i := range 1000 {
		now.add(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
	}
	if now.n != 2 || !several(now, before) || several(before, before) {
		t.Errorf("%+v of 1000 clients; want two", now)
	}
	var one clients
	one.add(now.addresses[1])
	if several(one, one) || !several(one, now) {
		t.Errorf("several = %v for one client in both windows, %v for another one in the window before; want false, true", several(one, one), several(one, now))
	}
}
