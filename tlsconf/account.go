package tlsconf

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme/autocert"
)

const (
	requestTimeout = 15 * time.Second // for one answer of the CA
	orderTimeout   = 10 * time.Minute // no attempt of a Manager takes longer
	ordersEach     = 2                // in one attempt: one for each type of challenge

	// After a failure. A CA limits failed validations most: Let's Encrypt to
	// five an hour for each name. An attempt that got no further than the CA's
	// door costs nothing there. The Manager itself remembers a failure for a
	// minute, in which it would not try.
	retryUnreached = 2 * time.Minute
	retryRefused   = 15 * time.Minute
	retryMost      = 12 * time.Hour

	tokenSuffix = "+http-01" // of a challenge's key in the cache, as autocert has it
)

type clock = func() time.Time

// account is an ACME account with one autocert.Manager, which cannot be
// stopped: it renews what it once got hold of, whatever the configuration has
// come to be. So it is watched at the two places where it meets the world, its
// cache and its HTTP client. There the account allows one attempt at a time,
// only for names that are wanted and not after a recent failure, holds the lock
// against other processes meanwhile, and learns why an attempt failed, which
// the Manager does not tell.
type account struct {
	manager    *autocert.Manager
	cache      cache
	base       http.RoundTripper
	challenged *tls.Config // for the CA's own handshakes
	now        clock
	turn       chan struct{} // holds one element during an attempt

	mu      sync.Mutex
	wanted  []string
	names   map[string]*name
	attempt *attempt // nil between attempts
	report  func(Event)
}

// name is what an account knows about one name.
type name struct {
	certificate *tls.Certificate // nil before the first
	managed     bool             // the Manager has it, and renews it
	failures    int              // since the last success
	err         error            // of the last attempt
	next        time.Time        // no attempt before
}

// attempt is one try of the Manager to get a certificate. Guarded by
// account.mu.
type attempt struct {
	name    string
	fetched bool // the Manager has looked into the cache; by that a renewal is told from an order
	renewal bool
	started bool // the CA was asked for something
	orders  int  // that the CA has taken
	got     bool
	reasons map[string]string // why it fails, by what said so
	wait    time.Time         // the CA asked to leave it alone until then
}

// ordered is the source for one name.
type ordered struct {
	account *account
	host    string
}

func (o *ordered) names() []string { return []string{o.host} }

func (o *ordered) certificate() (*tls.Certificate, error) {
	o.account.mu.Lock()
	defer o.account.mu.Unlock()
	n := o.account.name(o.host)
	switch {
	case n.certificate != nil:
		return n.certificate, nil
	case n.err != nil:
		return nil, fmt.Errorf("no certificate for %s: %w", o.host, n.err)
	}
	return nil, fmt.Errorf("no certificate for %s yet", o.host)
}

func (o *ordered) valid(now time.Time) bool {
	o.account.mu.Lock()
	defer o.account.mu.Unlock()
	c := o.account.name(o.host).certificate
	return c != nil && isValid(c.Leaf, now)
}

func (o *ordered) status() Source {
	o.account.mu.Lock()
	defer o.account.mu.Unlock()
	n := o.account.name(o.host)
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

// recall takes the certificates of hosts from the cache, so that the first
// handshakes find them. One that cannot be used will be ordered again.
func (a *account) recall(hosts []string) error {
	for _, host := range hosts {
		data, err := a.cache.get(host)
		if err != nil && !errors.Is(err, autocert.ErrCacheMiss) {
			return err
		}
		a.keep(host, data)
	}
	return nil
}

// keep makes the certificate in data, as the cache has it, the one for host, if
// it is good and none that lasts longer is there.
func (a *account) keep(host string, data []byte) (kept bool) {
	c, err := parseEntry(data)
	if err != nil || c.Leaf.VerifyHostname(host) != nil || a.now().After(c.Leaf.NotAfter) {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.name(host)
	if n.certificate != nil && !c.Leaf.NotAfter.After(n.certificate.Leaf.NotAfter) {
		return false
	}
	n.certificate = &c
	return true
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

// due returns the name whose turn is first, and when that is. Names the Manager
// has are its own affair.
func (a *account) due(hosts []string) (host string, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, h := range hosts {
		n := a.name(h)
		if !n.managed && (host == "" || n.next.Before(at)) {
			host, at = h, n.next
		}
	}
	return host, at
}

// obtain has the Manager get the certificate of host, from the cache or from
// the CA, and waits for that until ctx ends. An order under way is not stopped
// then: it is nearly done, and would have to be repeated.
func (a *account) obtain(ctx context.Context, host string) {
	release, err := a.begin(ctx, host, false)
	if err != nil {
		if ctx.Err() == nil {
			a.failed(host, err)
		}
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := a.manager.GetCertificate(modernHello(host))
		a.end(host, err)
		release()
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// modernHello is what makes a Manager order the kind of key that clients of
// today get, ECDSA. A certificate for those that know only RSA has to come from
// a file.
func modernHello(host string) *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{
		ServerName:        host,
		SupportedVersions: []uint16{tls.VersionTLS13, tls.VersionTLS12},
		CipherSuites:      []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		SupportedCurves:   []tls.CurveID{tls.X25519, tls.CurveP256},
		SignatureSchemes:  []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
	}
}

// begin waits until there is no other attempt, in this process for any name, in
// others for this one. Release ends what it began.
func (a *account) begin(ctx context.Context, host string, renewal bool) (release func(), err error) {
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	unlock, err := a.cache.lock(ctx, host)
	if err != nil {
		<-a.turn
		return nil, fmt.Errorf("lock of the certificate cache: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.attempt = &attempt{name: host, renewal: renewal, fetched: renewal, reasons: make(map[string]string)}
	return func() {
		a.mu.Lock()
		a.attempt = nil
		a.mu.Unlock()
		unlock()
		<-a.turn
	}, nil
}

// renewable reports whether the Manager may renew the certificate of host now.
func (a *account) renewable(host string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.wanted, host) && !a.now().Before(a.name(host).next)
}

// end notes how the attempt under way for host went.
func (a *account) end(host string, err error) {
	a.mu.Lock()
	t, n := a.attempt, a.name(host)
	issued := t.got
	switch {
	case err == nil:
		n.managed, n.failures, n.err, n.next = true, 0, nil, time.Time{}
	case len(t.reasons) > 0:
		err = t.reason()
	}
	report, certificate := a.report, n.certificate
	a.mu.Unlock()
	switch {
	case err != nil:
		a.failed(host, err)
	case issued && report != nil:
		what := "certificate issued"
		if t.renewal {
			what = "certificate renewed"
		}
		report(Event{What: what, Names: []string{host}, From: "acme", Expiry: certificate.Leaf.NotAfter})
	}
}

// reason puts together why an attempt failed.
func (t *attempt) reason() error {
	var parts []string
	for _, by := range slices.Sorted(maps.Keys(t.reasons)) {
		parts = append(parts, strings.TrimPrefix(by+": "+t.reasons[by], ": "))
	}
	return errors.New(strings.Join(parts, "; "))
}

// failed puts the next attempt for host off, each time for twice as long.
func (a *account) failed(host string, err error) {
	a.mu.Lock()
	n, base := a.name(host), retryUnreached
	if a.attempt != nil && a.attempt.orders > 0 {
		base = retryRefused
	}
	n.err = err
	n.next = a.now().Add(min(base<<min(n.failures, 10), retryMost))
	if a.attempt != nil && a.attempt.wait.After(n.next) {
		n.next = a.attempt.wait
	}
	n.failures++
	e := Event{What: "certificate order failed", Names: []string{host}, From: "acme", Err: err, Next: n.next}
	report := a.report
	a.mu.Unlock()
	if report != nil {
		report(e)
	}
}
