package backend

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	lookupTimeout = 10 * time.Second // for all that an endpoint takes
	maxTargets    = 256              // of an endpoint
	maxServices   = 64               // SRV records of one, which are all looked up at once
	shortRetry    = time.Second      // after a look-up for which there was no descriptor or no memory
)

// target is one address that an endpoint stands for, or two of the same host.
type target struct {
	name          string // of the member
	network       string
	first, second string
	authority     string  // host:port, by name
	host          string  // of SRV records, else ""
	weight        float64 // of SRV records, else 0
	rank          int     // of SRV records by priority, else 0
}

// answer is what DNS says about an endpoint.
type answer struct {
	targets []target // nil before the first
	asking  bool
	failed  int // times in a row
	next    time.Time
}

// named reports whether e is a name that has to be looked up.
func (e *Endpoint) named() bool {
	switch e.Network {
	case "srv":
		return true
	case "tcp":
		host, _, _ := net.SplitHostPort(e.Address)
		_, err := netip.ParseAddr(host)
		return err != nil
	}
	return false
}

// targets returns what e stands for. A name that was not looked up yet stands
// for itself, where the system knows it too; SRV records, and what a server of
// its own is asked for, stand for nothing.
func (p *Pool) targets(e *Endpoint) []target {
	itself := []target{{name: e.Name, network: e.Network, first: e.Address, authority: e.Address}}
	if e.Network == "unix" {
		itself[0].authority = "localhost"
	}
	if !e.named() {
		return itself
	}
	a, waits := p.answers[e.Name], e.Network == "srv" || p.settings.DNS.Server != ""
	switch {
	case a == nil:
		p.answers[e.Name] = new(answer)
		if waits && p.pending == nil {
			p.pending = make(chan struct{})
		}
	case a.targets != nil:
		return a.targets
	}
	if waits {
		return nil
	}
	return itself
}

// forgetNames drops the answers for what is configured no more.
func (p *Pool) forgetNames() {
	for name := range p.answers {
		if !slices.ContainsFunc(p.settings.Endpoints, func(e Endpoint) bool { return e.Name == name && e.named() }) {
			delete(p.answers, name)
		}
	}
}

// lookups returns what looks up the names that are due at the moment now.
func (p *Pool) lookups(now time.Time, due *alarm) (jobs []job) {
	for _, e := range p.settings.Endpoints {
		a := p.answers[e.Name]
		switch {
		case a == nil || a.asking:
		case a.next.After(now):
			due.at(a.next)
		default:
			a.asking = true
			dns := p.settings.DNS
			jobs = append(jobs, func(ctx context.Context) { p.lookup(ctx, e, a, dns) })
		}
	}
	return jobs
}

// lookup brings a up to date. When it fails, the last answer stays.
func (p *Pool) lookup(ctx context.Context, e Endpoint, a *answer, dns DNS) {
	targets, ttl, err := dns.lookup(ctx, &e)
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.rouse()
	a.asking = false
	if ctx.Err() != nil {
		return
	}
	defer p.answered()
	now := time.Now()
	p.short = nil
	if ShortageOf(err) != 0 {
		a.next = now.Add(shortRetry)
		p.short = fmt.Errorf("backend %s: endpoint %s: %w", p.name, e.Name, err)
		p.tell(Event{Backend: p.name, Endpoint: e.Name, What: "name could not be looked up", Err: err})
		return
	}
	if err != nil {
		a.next = now.Add(min(dns.MinTTL<<min(a.failed, 16), dns.MaxTTL))
		if a.failed++; a.failed == 1 {
			p.tell(Event{Backend: p.name, Endpoint: e.Name, What: "name could not be looked up; the last answer stays", Err: err})
		}
		return
	}
	a.failed, a.next = 0, now.Add(min(max(ttl, dns.MinTTL), dns.MaxTTL))
	if !slices.Equal(a.targets, targets) {
		a.targets = targets
		p.place(now)
	}
}

// lookup returns what e stands for, in an order that depends on nothing else,
// and for how long. It never returns neither targets nor an error.
func (d DNS) lookup(ctx context.Context, e *Endpoint) ([]target, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	ttl := &leastTTL{least: d.MaxTTL}
	r := ttl.resolver(d.Server)
	var found []target
	var err error
	if e.Network == "srv" {
		found, err = services(ctx, r, e)
	} else {
		host, port, _ := net.SplitHostPort(e.Address)
		found, err = addresses(ctx, r, e.Name, host, port)
	}
	if short := ttl.shortage(); short != nil { // though some may have been found
		err = short
	}
	if err != nil {
		return nil, 0, err
	}
	slices.SortStableFunc(found, func(a, b target) int { return strings.Compare(a.name, b.name) })
	found = slices.CompactFunc(found, func(a, b target) bool { return a.name == b.name })
	if len(found) > maxTargets {
		found = found[:maxTargets:maxTargets]
	}
	return found, ttl.get(), nil
}

// services looks up SRV records (RFC 2782) and the addresses of their targets.
// Those of a target that cannot be looked up are missing.
func services(ctx context.Context, r *net.Resolver, e *Endpoint) ([]target, error) {
	_, records, err := r.LookupSRV(ctx, "", "", e.Address)
	if len(records) == 0 {
		if err == nil {
			err = fmt.Errorf("%s has no SRV records", e.Address)
		}
		return nil, err
	}
	slices.SortFunc(records, func(a, b *net.SRV) int { // the resolver shuffles them
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), strings.Compare(a.Target, b.Target), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Weight, b.Weight))
	})
	records = records[:min(len(records), maxServices)]
	each := make([][]target, len(records))
	failed := make([]error, len(records))
	var all sync.WaitGroup
	for i, s := range records {
		all.Go(func() {
			each[i], failed[i] = addresses(ctx, r, e.Name, strings.TrimSuffix(s.Target, "."), strconv.Itoa(int(s.Port)))
		})
	}
	all.Wait()
	var found []target
	rank := 0
	for i, s := range records { // by priority
		if i > 0 && s.Priority != records[i-1].Priority {
			rank++
		}
		for _, t := range each[i] {
			t.host, t.rank = strings.TrimSuffix(s.Target, "."), rank
			t.weight = float64(max(s.Weight, 1)) / float64(len(each[i]))
			found = append(found, t)
		}
	}
	if len(found) == 0 {
		return nil, failed[0]
	}
	return found, nil
}

// addresses looks up the A and AAAA records of a host. Where it has one of each
// they are two ways to the same; else each stands for itself.
func addresses(ctx context.Context, r *net.Resolver, name, host, port string) ([]target, error) {
	ips, err := r.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var v4, v6 []target
	slices.SortFunc(ips, netip.Addr.Compare)
	for _, ip := range slices.Compact(ips) {
		ip = ip.Unmap()
		address := net.JoinHostPort(ip.String(), port)
		t := target{name: name + " (" + address + ")", network: "tcp", first: address, authority: net.JoinHostPort(host, port)}
		if ip.Is4() {
			v4 = append(v4, t)
		} else {
			v6 = append(v6, t)
		}
	}
	if len(v4) == 1 && len(v6) == 1 {
		v4[0].first, v4[0].second = v6[0].first, v4[0].first
		return v4, nil
	}
	if all := append(v4, v6...); len(all) > 0 {
		return all, nil
	}
	return nil, fmt.Errorf("%s has no address", host)
}

// answered wakes those who wait for an answer; there may be another to wait for.
func (p *Pool) answered() {
	if p.pending == nil {
		return
	}
	close(p.pending)
	p.pending = nil
	for _, a := range p.answers {
		if a.targets == nil && a.failed == 0 {
			p.pending = make(chan struct{})
			return
		}
	}
}
