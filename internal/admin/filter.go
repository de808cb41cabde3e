package admin

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// filter says which sessions are meant. The zero value means all of them.
type filter struct {
	tests []func(*Session) bool
}

// FilterParameters returns the parameters of a filter, for every endpoint that takes one and for
// commands.
func FilterParameters() []Parameter {
	return []Parameter{
		{"route", "string", "Sessions of this route."},
		{"backend", "string", "Sessions of this backend."},
		{"endpoint", "string", "Sessions of this endpoint."},
		{"client", "string", "Sessions of clients with this address, or in this network, as in 192.0.2.0/24."},
		{"request_id", "string", "Sessions whose handshake had this X-Request-Id."},
		{"min_age", "duration", "Sessions that are at least so old, as in 1h30m."},
		{"max_age", "duration", "Sessions that are at most so old, as in 1d."},
		{"min_idle", "duration", "Sessions without a data frame for at least so long."},
		{"max_idle", "duration", "Sessions with a data frame in that time."},
		{"min_messages", "integer", "Sessions with at least so many messages, both sides together."},
		{"max_messages", "integer", "Sessions with at most so many messages, both sides together."},
		{"min_bytes", "integer", "Sessions with at least so many bytes of payload, both sides together."},
		{"max_bytes", "integer", "Sessions with at most so many bytes of payload, both sides together."},
		{"min_rate", "number", "Sessions with at least so many messages a second, over their life."},
		{"max_rate", "number", "Sessions with at most so many messages a second, over their life."},
	}
}

// match reports whether a session is meant.
func (f *filter) match(s *Session) bool {
	for _, test := range f.tests {
		if !test(s) {
			return false
		}
	}
	return true
}

// newFilter reads the parameters of a filter.
func newFilter(q query, now time.Time) (*filter, error) {
	f := new(filter)
	add := func(test func(*Session) bool) { f.tests = append(f.tests, test) }
	for _, p := range FilterParameters() {
		text, ok := q[p.Name]
		if !ok {
			continue
		}
		test, err := sessionTest(p, text, now)
		if err != nil {
			return nil, fmt.Errorf("%s %q %w", p.Name, shorten(text), err)
		}
		add(test)
	}
	return f, nil
}

// sessionTest returns what one parameter asks of a session. The error is a predicate.
func sessionTest(p Parameter, text string, now time.Time) (func(*Session) bool, error) {
	bound, of, _ := strings.Cut(p.Name, "_")
	switch p.Name {
	case "route":
		return func(s *Session) bool { return s.Route == text }, nil
	case "backend":
		return func(s *Session) bool { return s.Backend == text }, nil
	case "endpoint":
		return func(s *Session) bool { return s.Endpoint == text }, nil
	case "request_id":
		return func(s *Session) bool { return s.RequestID == text }, nil
	case "client":
		return clientTest(text)
	}
	var amount func(*Session) float64
	var limit float64
	var err error
	switch p.Kind {
	case "duration":
		var d time.Duration
		d, err = parseDuration(text)
		limit = float64(d)
	case "integer":
		var n uint64
		if n, err = strconv.ParseUint(text, 10, 63); err != nil {
			err = fmt.Errorf("is not a whole number from 0 on")
		}
		limit = float64(n)
	default:
		if limit, err = strconv.ParseFloat(text, 64); err != nil || limit < 0 || math.IsInf(limit, 0) || math.IsNaN(limit) {
			err = fmt.Errorf("is not a number from 0 on, such as 2.5")
		}
	}
	switch of {
	case "age":
		amount = func(s *Session) float64 { return float64(now.Sub(s.Opened)) }
	case "idle":
		amount = func(s *Session) float64 { return float64(now.Sub(s.Last)) }
	case "messages":
		amount = func(s *Session) float64 { return float64(s.Messages()) }
	case "bytes":
		amount = func(s *Session) float64 { return float64(s.Bytes()) }
	case "rate":
		amount = func(s *Session) float64 { return s.Rate(now) }
	}
	if bound == "min" {
		return func(s *Session) bool { return amount(s) >= limit }, err
	}
	return func(s *Session) bool { return amount(s) <= limit }, err
}

// clientTest returns the test of an address or a network.
func clientTest(text string) (func(*Session) bool, error) {
	network, err := netip.ParsePrefix(text)
	if err != nil {
		address, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("is neither an address nor a network such as 192.0.2.0/24")
		}
		address = address.Unmap().WithZone("")
		network = netip.PrefixFrom(address, address.BitLen())
	}
	if a := network.Addr(); a.Is4In6() && network.Bits() >= 96 {
		network = netip.PrefixFrom(a.Unmap(), network.Bits()-96)
	}
	if network != network.Masked() {
		return nil, fmt.Errorf("has bits set beyond its length: write %s", network.Masked())
	}
	return func(s *Session) bool {
		a, err := netip.ParseAddr(s.Client)
		return err == nil && network.Contains(a.Unmap().WithZone(""))
	}, nil
}

// parseDuration reads a duration that is not negative, with days in front as in the configuration.
func parseDuration(text string) (time.Duration, error) {
	wrong := fmt.Errorf("is not a duration such as 30s, 1h30m or 1d")
	var days time.Duration
	if n, rest, found := strings.Cut(text, "d"); found {
		count, err := strconv.ParseUint(n, 10, 16) // at most 179 years, less than a duration holds
		if err != nil {
			return 0, wrong
		}
		if days, text = time.Duration(count)*24*time.Hour, rest; rest == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || days+d < days {
		return 0, wrong
	}
	return days + d, nil
}

// orders returns what a list of sessions may be sorted by, besides the rate.
func orders() map[string]func(a, b *Session) int {
	return map[string]func(a, b *Session) int{
		"opened":   func(a, b *Session) int { return a.Opened.Compare(b.Opened) },
		"last":     func(a, b *Session) int { return a.Last.Compare(b.Last) },
		"messages": func(a, b *Session) int { return cmp.Compare(a.Messages(), b.Messages()) },
		"bytes":    func(a, b *Session) int { return cmp.Compare(a.Bytes(), b.Bytes()) },
		"client":   func(a, b *Session) int { return cmp.Compare(a.Client, b.Client) },
		"route":    func(a, b *Session) int { return cmp.Compare(a.Route, b.Route) },
		"endpoint": func(a, b *Session) int { return cmp.Compare(a.Endpoint, b.Endpoint) },
	}
}

// newOrder returns the order that a text names, in which a - in front turns it around.
func newOrder(text string, now time.Time) (func(a, b *Session) int, error) {
	name, descending := strings.CutPrefix(text, "-")
	order := orders()[name]
	if name == "rate" {
		order = func(a, b *Session) int { return cmp.Compare(a.Rate(now), b.Rate(now)) }
	}
	if order == nil {
		return nil, fmt.Errorf("sort %q is not one of %s, with a - in front for the largest first", shorten(text), strings.Join(sortKeys(), ", "))
	}
	if descending {
		return func(a, b *Session) int { return order(b, a) }, nil
	}
	return order, nil
}

func sortKeys() []string {
	names := []string{"rate"}
	for name := range orders() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
