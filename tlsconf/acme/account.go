// Package acme orders certificates from an ACME CA (RFC 8555) and renews them.
// An [Account] answers the CA's challenges, keeps what it gets in a directory
// that other processes may share, and puts an order off after a failure. It does
// not know which certificate a client gets.
package acme

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"sluice/tlsconf/certfile"
)

const (
	requestTimeout = 15 * time.Second // for one answer of the CA
	orderTimeout   = 10 * time.Minute // for one attempt, which may make several orders
	orderJitter    = time.Second      // before a first order: gateways that start together do not order together

	// How long the next attempt is put off after a failure. A CA limits failed
	// validations most: Let's Encrypt to five an hour for each name. An attempt
	// that made no order costs nothing there.
	retryUnreached = 2 * time.Minute
	retryRefused   = 15 * time.Minute
	retryMost      = 12 * time.Hour
)

// Account is an account at an ACME CA, with the certificates that it has
// ordered. It may live longer than one [Account.Run]: what failed before, and an
// order that is under way, stay with it. It is safe for concurrent use.
type Account struct {
	cache           cache
	client          *acme.Client
	registration    *acme.Account
	challenges      *autocert.Manager // answers challenges in the cache, and does nothing else
	challengeConfig *tls.Config       // for the CA's own handshakes
	now             func() time.Time

	turn chan struct{} // holds one element during an attempt, which has the client to itself

	mu     sync.Mutex
	hosts  []string
	report func(Event)        // nil before Assign
	status map[string]*Status // by host
}

// Status is what an account knows about one host.
type Status struct {
	Certificate *tls.Certificate // nil before the first one; its Leaf is set
	Err         error            // why the last attempt failed; nil when it did not
	Next        time.Time        // no attempt is made before

	failures int // since the last success
}

// Event tells how an attempt to get a certificate ended.
type Event struct {
	What   string // as in "certificate renewed"
	Host   string
	Expiry time.Time // of a new certificate
	Err    error     // nil for good news
	Next   time.Time // of the next attempt; zero without one
}

// Assign sets the hosts of the account: it orders certificates and answers
// challenges for no others. From now on events go to report, also those of an
// order that is under way. Report must not block.
func (a *Account) Assign(hosts []string, report func(Event)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hosts, a.report = hosts, report
}

func (a *Account) assigned(host string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.hosts, host)
}

// Status returns what the account knows about host.
func (a *Account) Status(host string) Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	return *a.known(host)
}

// known returns the status of host. The caller holds a.mu.
func (a *Account) known(host string) *Status {
	s := a.status[host]
	if s == nil {
		s = &Status{}
		a.status[host] = s
	}
	return s
}

// Load takes the certificates of hosts from the cache, so that the first
// handshakes find them. It orders none.
func (a *Account) Load(hosts []string) error {
	for _, host := range hosts {
		if _, err := a.load(context.Background(), host); err != nil {
			return err
		}
	}
	return nil
}

// load takes the certificate of host from the cache, and reports whether it is
// a good one that lasts longer than the one in use. A damaged entry counts as
// none: another certificate can be ordered, and with half of its chain clients
// would fail.
func (a *Account) load(ctx context.Context, host string) (better bool, err error) {
	entry, err := a.cache.Get(ctx, host)
	if errors.Is(err, autocert.ErrCacheMiss) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c, err := a.parse(host, entry)
	if err != nil {
		return false, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.known(host)
	if s.Certificate != nil && !c.Leaf.NotAfter.After(s.Certificate.Leaf.NotAfter) {
		return false, nil
	}
	s.use(c)
	return true, nil
}

// parse reads an entry of the cache, which has to be a certificate for host.
func (a *Account) parse(host string, entry []byte) (*tls.Certificate, error) {
	c, err := certfile.ParseKeyPair(entry)
	switch {
	case err != nil:
		return nil, err
	case a.now().After(c.Leaf.NotAfter):
		return nil, fmt.Errorf("the certificate expired on %s", c.Leaf.NotAfter.Format(time.DateOnly))
	}
	return &c, c.Leaf.VerifyHostname(host)
}

// use makes c the certificate in use. It is renewed when a third of its life is
// left, or 30 days, less up to an hour so that certificates are not all renewed
// together. These are the rules of autocert.
func (s *Status) use(c *tls.Certificate) {
	before := min(c.Leaf.NotAfter.Sub(c.Leaf.NotBefore)/3, 30*24*time.Hour)
	jitter := rand.N(min(before/10, time.Hour) + 1)
	*s = Status{Certificate: c, Next: c.Leaf.NotAfter.Add(jitter - before)}
}

// Run orders and renews the certificates of the hosts that are assigned when it
// begins, one after the other, until ctx ends. Only one Run at a time may be
// under way.
func (a *Account) Run(ctx context.Context) {
	a.mu.Lock()
	hosts := a.hosts
	a.mu.Unlock()
	for len(hosts) > 0 {
		host, wait := a.due(hosts)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
			a.attempt(ctx, host)
		}
	}
}

// due returns the host whose attempt is next, and how long to wait for it.
func (a *Account) due(hosts []string) (host string, wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	host = slices.MinFunc(hosts, func(x, y string) int { return a.known(x).Next.Compare(a.known(y).Next) })
	s := a.known(host)
	wait = s.Next.Sub(a.now())
	if s.Certificate == nil {
		wait = max(wait, rand.N(orderJitter))
	}
	return host, wait
}

// attempt tries to get a certificate for host. It returns when the attempt has
// ended, or ctx has. An order that is under way goes on then: it is nearly done,
// and would have to be repeated. Only one attempt at a time is made: in this
// process for any host, among the processes that share the cache for this one.
func (a *Account) attempt(ctx context.Context, host string) {
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { <-a.turn }()
		if err := a.obtain(ctx, host); err != nil {
			a.putOff(host, err)
		}
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// obtain gets a certificate for host from the cache, where another process may
// have put it, or else from the CA. It gives up without an error when ctx ends
// before it has the lock of the host.
func (a *Account) obtain(ctx context.Context, host string) error {
	unlock, err := a.cache.lock(ctx, host)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("lock of the certificate cache: %w", err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), orderTimeout)
	defer cancel()
	before := a.Status(host)
	if before.Next.After(a.now()) {
		return nil // an attempt of an earlier Run has ended meanwhile
	}
	if better, err := a.load(ctx, host); better || err != nil {
		return err
	}
	c, entry, err := a.order(ctx, host, before.Certificate)
	if err != nil {
		return err
	}
	notKept := a.cache.Put(ctx, host, entry) // first: what is in use is not lost, whenever the process ends
	a.mu.Lock()
	s := a.known(host)
	s.use(c)
	if s.Next.Before(a.now()) { // the clock is wrong, here or at the CA
		s.Next = a.now().Add(retryRefused)
	}
	a.mu.Unlock()
	what := "certificate issued"
	if before.Certificate != nil {
		what = "certificate renewed"
	}
	a.tell(Event{What: what, Host: host, Expiry: c.Leaf.NotAfter})
	if notKept != nil {
		a.tell(Event{What: "certificate is not kept over restarts", Host: host, Err: notKept})
	}
	return nil
}

// putOff puts the next attempt for host off, each time for twice as long.
func (a *Account) putOff(host string, err error) {
	base, wait := retryUnreached, time.Time{}
	if f, ok := errors.AsType[*failure](err); ok {
		wait = f.wait
		if f.ordered {
			base = retryRefused
		}
	}
	a.mu.Lock()
	s := a.known(host)
	s.Err = err
	s.Next = a.now().Add(min(base<<min(s.failures, 10), retryMost))
	if wait.After(s.Next) {
		s.Next = wait
	}
	s.failures++
	next := s.Next
	a.mu.Unlock()
	a.tell(Event{What: "certificate order failed", Host: host, Err: err, Next: next})
}

// tell reports e.
func (a *Account) tell(e Event) {
	a.mu.Lock()
	report := a.report
	a.mu.Unlock()
	if report != nil {
		report(e)
	}
}
