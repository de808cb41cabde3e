// Package dns looks up what a name stands for: addresses, or services of SRV
// records, and for how long that is valid. It decides neither when to ask again
// nor which address is used.
package dns

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// Timeout bounds one look-up with all its queries.
	Timeout    = 10 * time.Second
	maxTargets = 256 // of one name
	maxRecords = 64  // SRV records of one name: all their targets are looked up at the same time
)

// A Target is a host that a name stands for.
type Target struct {
	Address   string  // IP address and port
	Fallback  string  // the host's only IPv4 address and port, where Address is its only IPv6 address; else ""
	Authority string  // host:port, by name
	Host      string  // target of the SRV record; "" without SRV records
	Weight    float64 // by the SRV record; 0 without SRV records
	Rank      int     // 0 for the SRV priority that is used first, then 1 and so on
}

// String names the target by its address, the IPv4 one if it has two.
func (t Target) String() string { return cmp.Or(t.Fallback, t.Address) }

// LookupHost looks up the A and AAAA records of the host in hostport. It asks
// server, or the system's name servers if that is "". The targets are in an
// order that depends on nothing else, and valid for ttl, which is the longest
// duration if no answer has a TTL. There is at least one target if err is nil.
func LookupHost(ctx context.Context, server, hostport string) (targets []Target, ttl time.Duration, err error) {
	return lookup(ctx, server, func(ctx context.Context, r *net.Resolver) ([]Target, error) {
		host, port, _ := net.SplitHostPort(hostport)
		return addresses(ctx, r, host, port)
	})
}

// LookupSRV is [LookupHost] for the SRV records of a name and the addresses of
// their targets (RFC 2782).
func LookupSRV(ctx context.Context, server, name string) (targets []Target, ttl time.Duration, err error) {
	return lookup(ctx, server, func(ctx context.Context, r *net.Resolver) ([]Target, error) {
		return services(ctx, r, name)
	})
}

func lookup(ctx context.Context, server string, find func(context.Context, *net.Resolver) ([]Target, error)) ([]Target, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	answers := &leastTTL{least: math.MaxInt64}
	found, err := find(ctx, answers.resolver(server))
	ttl, shortage := answers.get()
	if shortage != nil { // what was found may be incomplete
		err = shortage
	}
	if err != nil {
		return nil, 0, err
	}
	slices.SortStableFunc(found, func(a, b Target) int { return strings.Compare(a.String(), b.String()) })
	found = slices.CompactFunc(found, func(a, b Target) bool { return a.String() == b.String() })
	return slices.Clip(found[:min(len(found), maxTargets)]), ttl, nil
}

// services looks up SRV records and the addresses of their targets. It leaves
// out targets that cannot be looked up, unless all of them fail.
func services(ctx context.Context, r *net.Resolver, name string) ([]Target, error) {
	_, records, err := r.LookupSRV(ctx, "", "", name)
	if len(records) == 0 {
		if err == nil {
			err = fmt.Errorf("%s has no SRV records", name)
		}
		return nil, err
	}
	slices.SortFunc(records, func(a, b *net.SRV) int { // the resolver shuffles them
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), strings.Compare(a.Target, b.Target), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Weight, b.Weight))
	})
	records = records[:min(len(records), maxRecords)]
	targets := make([][]Target, len(records))
	errs := make([]error, len(records))
	var all sync.WaitGroup
	for i, s := range records {
		all.Go(func() {
			targets[i], errs[i] = addresses(ctx, r, strings.TrimSuffix(s.Target, "."), strconv.Itoa(int(s.Port)))
		})
	}
	all.Wait()
	var found []Target
	rank := 0
	for i, s := range records { // they are sorted by priority
		if i > 0 && s.Priority != records[i-1].Priority {
			rank++
		}
		for _, t := range targets[i] {
			t.Host, t.Rank = strings.TrimSuffix(s.Target, "."), rank
			t.Weight = float64(max(s.Weight, 1)) / float64(len(targets[i]))
			found = append(found, t)
		}
	}
	if len(found) == 0 {
		return nil, errs[0]
	}
	return found, nil
}

// addresses looks up the A and AAAA records of a host. If there is one of each,
// both are one target, because they are two ways to the same host. Otherwise
// each address is a target.
func addresses(ctx context.Context, r *net.Resolver, host, port string) ([]Target, error) {
	ips, err := r.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var v4, v6 []Target
	slices.SortFunc(ips, netip.Addr.Compare)
	for _, ip := range slices.Compact(ips) {
		ip = ip.Unmap()
		t := Target{Address: net.JoinHostPort(ip.String(), port), Authority: net.JoinHostPort(host, port)}
		if ip.Is4() {
			v4 = append(v4, t)
		} else {
			v6 = append(v6, t)
		}
	}
	if len(v4) == 1 && len(v6) == 1 {
		v6[0].Fallback = v4[0].Address
		return v6, nil
	}
	if all := append(v4, v6...); len(all) > 0 {
		return all, nil
	}
	return nil, fmt.Errorf("%s has no address", host)
}
