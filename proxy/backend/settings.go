package backend

import (
	"cmp"
	"context"
	"crypto/tls"
	"slices"
	"time"

	"sluice/internal/telemetry/metrics"
	"sluice/proxy/backend/dial"
)

// Settings is what a configuration says about a backend. Everything except
// Endpoints may be zero.
type Settings struct {
	Endpoints      []Endpoint
	ConnectTimeout time.Duration // for one connection, TLS included; 0 means 5s
	TakeRecords    bool          // connections of Dial capture what it takes to take over their TLS records
	KeepAlive      dial.KeepAlive
	Balance        Balance
	SlowStart      time.Duration // from when an endpoint comes up until it gets its full share
	DrainTime      time.Duration // over which the sessions of a drained endpoint end
	Check          Check
	Passive        Passive
	Retry          Retry
	Queue          Queue
	Rebalance      Rebalance
	DNS            DNS
	Metrics        *metrics.Backend // nil counts nothing
}

// An Endpoint is one address of a backend, or a name that stands for several.
type Endpoint struct {
	Name    string      // as written in the configuration
	Network string      // "tcp", "unix" or "srv"
	Address string      // host:port, a path, or the name of SRV records
	TLS     *tls.Config // nil for plain connections; needs a ServerName, except for "srv", whose targets have names
	TLSKey  string      // what TLS was made from: equal keys mean equal configurations
	HTTP2   bool        // for requests, not for Dial: offered where there is TLS, else spoken without asking
	Streams bool        // WebSockets go over HTTP/2 (RFC 8441) if offered; needs TLS or HTTP2, and no PROXY
	PROXY   int         // version of the PROXY header to send; 0 for none

	Weight      int  // its share of the work; 0 means 1
	Backup      bool // gets work only when no other endpoint is up
	MaxSessions int  // at once, for each address; 0 for any number
	MaxRequests int  // the same
	Drain       bool // gets no new work
}

// Balance is how an endpoint is picked.
type Balance uint8

const (
	LeastConnections Balance = iota // the one with the fewest sessions and requests for its weight
	RoundRobin                      // one after the other, by weight
	RandomTwo                       // the less busy of two random ones
	Hash                            // by the Hash of the Need, unless that endpoint has far more than its share
)

// Check is how endpoints are probed for their health.
type Check struct {
	Probe    Probe         // nil for no probes
	Interval time.Duration // plus or minus a tenth; 0 means 5s
	Timeout  time.Duration // for one probe, connecting included; 0 means 2s
	Rise     int           // good probes in a row that bring an endpoint up; 0 means 2
	Fall     int           // bad probes in a row that take it down; 0 means 3. The first probe decides alone
}

// A Probe returns nil if an endpoint is healthy. The lease does not count as
// work. The probe must not release it.
type Probe func(ctx context.Context, l *Lease) error

// Passive is how failures of real work eject an endpoint.
type Passive struct {
	Failures  int           // in a row, that eject an endpoint; 0 for never
	Ratio     float64       // of failures within Window that ejects it, from 20 outcomes on; 0 for never
	Window    time.Duration // 0 means 10s
	Eject     time.Duration // how long, the first time; doubled each time it fails again soon; 0 means 5s
	MaxEject  time.Duration // 0 means 5m
	EjectLast bool          // even when no other endpoint is up
}

// minOutcomes is the least number of outcomes from which a ratio is computed.
const minOutcomes = 20

// Retry bounds how often the same request or handshake is tried.
type Retry struct {
	Tries   int           // in all; 0 means 3
	Timeout time.Duration // since Tried.Began, after which nothing is tried again; 0 means 10s
	Budget  float64       // retries for each first try, beside a few that are always allowed; 0 means 0.2
}

// Queue is where work waits when all endpoints that are up are full.
type Queue struct {
	Length  int           // for requests, and the same for sessions; 0 for no queue
	Timeout time.Duration // 0 means 5s
}

// Rebalance is how sessions move to endpoints that have joined.
type Rebalance struct {
	PerMinute float64 // share of the sessions on endpoints that have too many; 0 for none
	Newest    bool    // the newest sessions first, else the oldest
}

// DNS is how names are looked up.
type DNS struct {
	Server         string        // host:port; "" for the system's name servers
	MinTTL, MaxTTL time.Duration // the shortest and the longest time that an answer is used; 0 means 5s and 1m
}

// withDefaults returns a copy that is complete and belongs to the pool.
func (s Settings) withDefaults() Settings {
	s.Endpoints = slices.Clone(s.Endpoints)
	s.ConnectTimeout = cmp.Or(s.ConnectTimeout, 5*time.Second)
	s.Check.Interval = cmp.Or(s.Check.Interval, 5*time.Second)
	s.Check.Timeout = cmp.Or(s.Check.Timeout, 2*time.Second)
	s.Check.Rise = cmp.Or(s.Check.Rise, 2)
	s.Check.Fall = cmp.Or(s.Check.Fall, 3)
	s.Passive.Window = cmp.Or(s.Passive.Window, 10*time.Second)
	s.Passive.Eject = cmp.Or(s.Passive.Eject, 5*time.Second)
	s.Passive.MaxEject = max(cmp.Or(s.Passive.MaxEject, 5*time.Minute), s.Passive.Eject)
	s.Retry.Tries = cmp.Or(s.Retry.Tries, 3)
	s.Retry.Timeout = cmp.Or(s.Retry.Timeout, 10*time.Second)
	s.Retry.Budget = cmp.Or(s.Retry.Budget, 0.2)
	s.Queue.Timeout = cmp.Or(s.Queue.Timeout, 5*time.Second)
	s.DNS.MinTTL = cmp.Or(s.DNS.MinTTL, 5*time.Second)
	s.DNS.MaxTTL = max(cmp.Or(s.DNS.MaxTTL, time.Minute), s.DNS.MinTTL)
	return s
}
