package tlsconf

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
)

const (
	requestTimeout = 15 * time.Second // for one answer of the CA
	orderTimeout   = 10 * time.Minute // for one attempt, which may make several orders
	orderJitter    = time.Second      // before a first order: gateways that start together do not order together

	// After a failure. A CA limits failed validations most: Let's Encrypt to
	// five an hour for each name. An attempt that made no order costs nothing there.
	retryUnreached = 2 * time.Minute
	retryRefused   = 15 * time.Minute
	retryMost      = 12 * time.Hour
)

type clock = func() time.Time

// account is an ACME account: the certificates it has ordered, and when it
// orders the next ones. A reload hands it to the next Store, with what failed
// so far and with an order under way.
type account struct {
	cache      cache
	client     *acme.Client
	contract   *acme.Account
	challenges *autocert.Manager // answers those in the cache, and does nothing else
	challenged *tls.Config       // for the CA's own handshakes
	now        clock

	turn chan struct{} // holds one element during an attempt

	mu     sync.Mutex
	wanted []string
	names  map[string]*name
	report func(Event)
}

// name is what an account knows about one name.
type name struct {
	certificate *tls.Certificate // nil before the first
	failures    int              // since the last success
	err         error            // of the last attempt
	next        time.Time        // no attempt before
}

// ordered is the source for one name.
type ordered struct {
	account *account
	host    string
}

// known returns a copy of what the account knows about the name.
func (o *ordered) known() name {
	o.account.mu.Lock()
	defer o.account.mu.Unlock()
	return *o.account.name(o.host)
}

func (o *ordered) names() []string { return []string{o.host} }

func (o *ordered) certificate() (*tls.Certificate, error) {
	switch n := o.known(); {
	case n.certificate != nil:
		return n.certificate, nil
	case n.err != nil:
		return nil, fmt.Errorf("no certificate for %s: %w", o.host, n.err)
	}
	return nil, fmt.Errorf("no certificate for %s yet", o.host)
}

func (o *ordered) valid(now time.Time) bool {
	c := o.known().certificate
	return c != nil && isValid(c.Leaf, now)
}

func (o *ordered) status() Source {
	n := o.known()
	s := Source{Names: []string{o.host}, From: "acme", Err: n.err}
	if n.certificate != nil {
		s.Expiry = n.certificate.Leaf.NotAfter
	}
	if n.err != nil {
		s.Next = n.next
	}
	return s
}

// name returns what is known about host. The caller holds a.mu.
func (a *account) name(host string) *name {
	n := a.names[host]
	if n == nil {
		n = &name{}
		a.names[host] = n
	}
	return n
}

// fromCache takes the certificate of host from the cache, and reports whether
// it is a good one that lasts longer than the one in use. A damaged one counts
// as none: another one can be ordered.
func (a *account) fromCache(ctx context.Context, host string) (better bool, err error) {
	data, err := a.cache.Get(ctx, host)
	if errors.Is(err, autocert.ErrCacheMiss) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c, err := a.parse(host, data)
	if err != nil {
		return false, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.name(host)
	if n.certificate != nil && !c.Leaf.NotAfter.After(n.certificate.Leaf.NotAfter) {
		return false, nil
	}
	n.use(c)
	return true, nil
}

// parse reads an entry of the cache that has to be a certificate for host.
func (a *account) parse(host string, data []byte) (*tls.Certificate, error) {
	c, err := parseEntry(data)
	switch {
	case err != nil:
		return nil, err
	case a.now().After(c.Leaf.NotAfter):
		return nil, fmt.Errorf("the certificate expired on %s", c.Leaf.NotAfter.Format(time.DateOnly))
	}
	return &c, c.Leaf.VerifyHostname(host)
}

// use makes c the certificate in use. It is renewed when a third of its life is
// left, or 30 days, less up to an hour so that not all are renewed together;
// these are the rules of autocert.
func (n *name) use(c *tls.Certificate) {
	before := min(c.Leaf.NotAfter.Sub(c.Leaf.NotBefore)/3, 30*24*time.Hour)
	jitter := rand.N(min(before/10, time.Hour) + 1)
	*n = name{certificate: c, next: c.Leaf.NotAfter.Add(jitter - before)}
}

func (a *account) want(hosts []string, report func(Event)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wanted, a.report = hosts, report
}

func (a *account) wants(host string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.wanted, host)
}

// warnings says which certificates end soon.
func (a *account) warnings(hosts []string) []string {
	var list []string
	for _, host := range hosts {
		s := (&ordered{a, host}).status()
		switch left := s.Expiry.Sub(a.now()); {
		case s.Expiry.IsZero():
		case left < 0:
			list = append(list, fmt.Sprintf("certificate for %s: expired on %s, and could not be renewed: %v", host, s.Expiry.Format(time.DateOnly), s.Err))
		case s.Err != nil && left < expiryNotice:
			list = append(list, fmt.Sprintf("certificate for %s: expires on %s, and could not be renewed: %v", host, s.Expiry.Format(time.DateOnly), s.Err))
		}
	}
	return list
}

// run orders and renews the certificates of hosts, one after the other, until
// ctx ends. There is at least one host.
func (a *account) run(ctx context.Context, hosts []string) {
	for {
		host, wait := a.due(hosts)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
			a.attempt(ctx, host)
		}
	}
}

// due returns the host whose turn is first, and how long it is until then.
func (a *account) due(hosts []string) (host string, wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	host = slices.MinFunc(hosts, func(x, y string) int { return a.name(x).next.Compare(a.name(y).next) })
	n := a.name(host)
	wait = n.next.Sub(a.now())
	if n.certificate == nil {
		wait = max(wait, rand.N(orderJitter))
	}
	return host, wait
}

// attempt tries to get a certificate for host, and waits for that until ctx
// ends. An order under way goes on then: it is nearly done, and would have to
// be repeated. There is one attempt at a time: in this process for any host, in
// all that share the cache for this one.
func (a *account) attempt(ctx context.Context, host string) {
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
			a.failed(host, err)
		}
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// obtain gets a certificate for host from the cache, where another process may
// have put it, or else from the CA. It gives up when ctx ends before it has the
// lock.
func (a *account) obtain(ctx context.Context, host string) error {
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
	a.mu.Lock()
	old, next := a.name(host).certificate, a.name(host).next
	a.mu.Unlock()
	if next.After(a.now()) {
		return nil // an attempt that went on after the end of its Run was first
	}
	if better, err := a.fromCache(ctx, host); better || err != nil {
		return err
	}
	entry, err := a.order(ctx, host, old)
	if err != nil {
		return err
	}
	c, err := a.parse(host, entry)
	if err != nil {
		return fmt.Errorf("what the CA issued cannot be used: %w", err)
	}
	a.mu.Lock()
	a.name(host).use(c)
	a.mu.Unlock()
	what := "certificate issued"
	if old != nil {
		what = "certificate renewed"
	}
	a.tell(Event{What: what, Names: []string{host}, From: "acme", Expiry: c.Leaf.NotAfter})
	if err := a.cache.Put(ctx, host, entry); err != nil {
		a.tell(Event{What: "certificate is not kept over restarts", Names: []string{host}, From: "acme", Err: err})
	}
	return nil
}

// failed puts the next attempt for host off, each time for twice as long.
func (a *account) failed(host string, err error) {
	base, wait := retryUnreached, time.Time{}
	if f, ok := errors.AsType[*failure](err); ok {
		wait = f.wait
		if f.ordered {
			base = retryRefused
		}
	}
	a.mu.Lock()
	n := a.name(host)
	n.err = err
	n.next = a.now().Add(min(base<<min(n.failures, 10), retryMost))
	if wait.After(n.next) {
		n.next = wait
	}
	n.failures++
	next := n.next
	a.mu.Unlock()
	a.tell(Event{What: "certificate order failed", Names: []string{host}, From: "acme", Err: err, Next: next})
}

// tell reports an event to the Run that is under way, or was last.
func (a *account) tell(e Event) {
	a.mu.Lock()
	report := a.report
	a.mu.Unlock()
	if report != nil {
		report(e)
	}
}
