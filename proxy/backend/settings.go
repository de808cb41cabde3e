package backend

import (
	"cmp"
	"context"
	"crypto/tls"
	"slices"
	"time"
)

// Settings are what a configuration says about a backend. All but Endpoints may
// be zero.
type Settings struct {
	Endpoints      []Endpoint
	ConnectTimeout time.Duration // for one endpoint, TLS included; 0 means 5s
	TakeRecords    bool          // connections of Dial remember what it takes to take their TLS records over
	Balance        Balance
	SlowStart      time.Duration // that an endpoint takes to its full share, once it is up
	DrainTime      time.Duration // over which the sessions of a drained endpoint end
	Check          Check
	Passive        Passive
	Retry          Retry
	Queue          Queue
	Rebalance      Rebalance
	DNS            DNS
}

// An Endpoint is one address of a backend, or a name that stands for several.
type Endpoint struct {
	Name    string      // as written in the configuration
	Network string      // "tcp", "unix" or "srv"
	Address string      // host:port, a path, or the name of SRV records
	TLS     *tls.Config // nil for plain; ServerName must be set, but for SRV records, whose targets have names
	TLSKey  string      // what TLS was made from: with the same key it is the same
	HTTP2   bool        // for requests: offered where there is TLS, else spoken without asking. Dial's connection is for HTTP/1.1 all the same
	Streams bool        // WebSockets go over HTTP/2 (RFC 8441) if the endpoint offers it; only with TLS or HTTP2, and not with PROXY
	PROXY   int         // version of the PROXY header to send; 0 means none

	Weight      int  // share of the work; 0 means 1
	Backup      bool // gets work when no other endpoint is up
	MaxSessions int  // at once, for each address; 0 means any
	MaxRequests int  // the same
	Drain       bool // gets nothing new
}

// Balance is how an endpoint is picked.
type Balance uint8

const (
	LeastConnections Balance = iota // who has the fewest sessions and requests for its weight
	RoundRobin                      // one after the other, by weight
	RandomTwo                       // the less busy of two taken at random
	Hash                            // by the hash of the Need, unless that endpoint has far more than its share
)

// Check is how endpoints are asked whether they are well.
type Check struct {
	Probe    Probe         // nil means that no endpoint is asked
	Interval time.Duration // give or take a tenth; 0 means 5s
	Timeout  time.Duration // for one probe, connecting included; 0 means 2s
	Rise     int           // good probes in a row that bring an endpoint up; 0 means 2
	Fall     int           // bad ones that take it down; 0 means 3. The first probe of an endpoint decides alone
}

// A Probe asks an endpoint how it is. The lease counts for nothing, and is not
// to be released.
type Probe func(ctx context.Context, l *Lease) error

// Passive is how endpoints are judged by how they serve.
type Passive struct {
	Failures  int           // in a row, that eject an endpoint; 0 means that they do not
	Ratio     float64       // of failures within Window, from MinWindow on, that ejects one; 0 means that none does
	Window    time.Duration // 0 means 10s
	Eject     time.Duration // for the first time; twice as long each time it fails again soon; 0 means 5s
	MaxEject  time.Duration // 0 means 5m
	EjectLast bool          // even when no other endpoint is up
}

// MinWindow is the least number of outcomes that a ratio is taken of.
const MinWindow = 20

// Retry bounds how often the same request or handshake is tried.
type Retry struct {
	Tries   int           // in all; 0 means 3
	Timeout time.Duration // since Tried.Began, after which nothing is tried again; 0 means 10s
	Budget  float64       // retries for each first try, besides a few; 0 means 0.2
}

// Queue is where work waits when all endpoints that are up are full.
type Queue struct {
	Length  int           // for requests, and as much for sessions; 0 means that nothing waits
	Timeout time.Duration // 0 means 5s
}

// Rebalance is how sessions move to endpoints that join.
type Rebalance struct {
	PerMinute float64 // share of the sessions on endpoints that have too many; 0 means that they stay
	Newest    bool    // first; else the oldest
}

// DNS is how names are looked up.
type DNS struct {
	Server         string        // host:port; "" means those of the system
	MinTTL, MaxTTL time.Duration // that an answer is believed at least and at most; 0 means 5s and 1m
}

// withDefaults returns a copy that is complete and the pool's own.
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
