package backend

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"sluice/internal/limit"
	"sluice/proxy/backend/dns"
)

// shortageRetry is the time after which a look-up that failed for want of
// descriptors or memory is made again.
const shortageRetry = time.Second

// target is what an Endpoint stands for: itself, or one host behind its name.
type target struct {
	name    string // of the endpoint
	network string
	dns.Target
}

// nameState is what a name stands for, and when it is looked up again.
type nameState struct {
	targets []target // nil before the first answer
	running bool
	failed  int // times in a row
	next    time.Time
}

// hasName reports whether c is a name that must be looked up.
func (c *Endpoint) hasName() bool {
	switch c.Network {
	case "srv":
		return true
	case "tcp":
		host, _, _ := net.SplitHostPort(c.Address)
		_, err := netip.ParseAddr(host)
		return err != nil
	}
	return false
}

// targets returns what c stands for. Before its first answer, a name is dialed as
// it is if the system may know it too. SRV records, and names that only another
// server knows, stand for nothing until then.
func (p *Pool) targets(c *Endpoint) []target {
	itself := []target{{c.Name, c.Network, dns.Target{Address: c.Address, Authority: c.Address}}}
	if c.Network == "unix" {
		itself[0].Authority = "localhost"
	}
	if !c.hasName() {
		return itself
	}
	n, needsAnswer := p.names[c.Name], c.Network == "srv" || p.settings.DNS.Server != ""
	switch {
	case n == nil:
		p.names[c.Name] = new(nameState)
		if needsAnswer && p.firstAnswer == nil {
			p.firstAnswer = make(chan struct{})
		}
	case n.targets != nil:
		return n.targets
	}
	if needsAnswer {
		return nil
	}
	return itself
}

// forgetNames drops the look-ups of names that are no longer configured.
func (p *Pool) forgetNames() {
	for name := range p.names {
		if !slices.ContainsFunc(p.settings.Endpoints, func(c Endpoint) bool { return c.Name == name && c.hasName() }) {
			delete(p.names, name)
		}
	}
}

// lookups returns the look-ups that are due.
func (p *Pool) lookups(now time.Time, due *nextDue) (jobs []job) {
	for _, c := range p.settings.Endpoints {
		n := p.names[c.Name]
		switch {
		case n == nil || n.running:
		case n.next.After(now):
			due.at(n.next)
		default:
			n.running = true
			settings := p.settings.DNS
			jobs = append(jobs, func(ctx context.Context) { p.resolve(ctx, c, n, settings) })
		}
	}
	return jobs
}

// resolve looks up c and applies the answer to n. After a failure the last answer
// stays.
func (p *Pool) resolve(ctx context.Context, c Endpoint, n *nameState, s DNS) {
	targets, ttl, err := lookUp(ctx, &c, s.Server)
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.wakeRun()
	n.running = false
	if ctx.Err() != nil {
		return
	}
	defer p.wakeWaiters()
	now := time.Now()
	p.lookupShortage = nil
	if limit.ShortageOf(err) != 0 {
		n.next = now.Add(shortageRetry)
		p.lookupShortage = fmt.Errorf("backend %s: endpoint %s: %w", p.name, c.Name, err)
		p.notify(Event{Backend: p.name, Endpoint: c.Name, What: "name could not be looked up", Err: err})
		return
	}
	if err != nil {
		n.next = now.Add(min(s.MinTTL<<min(n.failed, 16), s.MaxTTL))
		if n.failed++; n.failed == 1 {
			p.notify(Event{Backend: p.name, Endpoint: c.Name, What: "name could not be looked up; the last answer stays", Err: err})
		}
		return
	}
	n.failed, n.next = 0, now.Add(min(max(ttl, s.MinTTL), s.MaxTTL))
	if !slices.Equal(n.targets, targets) {
		n.targets = targets
		p.reconcile(now)
	}
}

// lookUp looks up what c stands for, and for how long.
func lookUp(ctx context.Context, c *Endpoint, server string) ([]target, time.Duration, error) {
	look := dns.LookupHost
	if c.Network == "srv" {
		look = dns.LookupSRV
	}
	found, ttl, err := look(ctx, server, c.Address)
	targets := make([]target, len(found))
	for i, t := range found {
		targets[i] = target{c.Name + " (" + t.String() + ")", "tcp", t}
	}
	return targets, ttl, err
}

// waitForAnswer waits for the first answer of DNS about a backend that has no
// endpoint without it.
func (p *Pool) waitForAnswer(ctx context.Context, answered <-chan struct{}) error {
	timeout := time.NewTimer(dns.Timeout)
	defer timeout.Stop()
	select {
	case <-answered:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timeout.C:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.unavailable(false)
	}
}

// wakeWaiters wakes all calls of waitForAnswer. They may have to wait for the
// answer about another name. The lock is held.
func (p *Pool) wakeWaiters() {
	if p.firstAnswer == nil {
		return
	}
	close(p.firstAnswer)
	p.firstAnswer = nil
	for _, n := range p.names {
		if n.targets == nil && n.failed == 0 {
			p.firstAnswer = make(chan struct{})
			return
		}
	}
}
