package backend

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"
	"time"
)

// backupTier is added to the tier of a backup endpoint; SRV priorities are
// below it.
const backupTier = 1 << 16

// slowest is the share of its weight that an endpoint begins with.
const slowest = 0.1

// member is an endpoint at work: an Endpoint itself, or an address of one. The
// lock of the pool guards all of it.
type member struct {
	name       string // for people, and what tells members apart
	configured string // the name of the Endpoint
	id         uint64 // the same in every process with such an endpoint
	generation int    // the pool's, when the settings last had it

	link                     *link
	weight                   float64
	tier                     int
	maxSessions, maxRequests int
	insecure                 bool
	drain                    bool // by the settings
	drained                  bool // by Drain
	emptied                  bool // its sessions were told to end

	busy   [2]int       // by Kind
	open   atomic.Int64 // connections, those of HTTP/1.1 for WebSockets by their leases; the lock does not guard it
	ending int          // sessions that were told to end for others, and have not

	index int       // in the pool's heap; -1 when it gets no work
	turn  uint64    // when it was last picked
	pass  float64   // of round robin: when it is next
	since time.Time // when it joined or came up again; zero when that is long ago
	power float64   // weight, less while it warms up

	health
}

func newMember(name string, turn uint64) *member {
	sum := sha256.Sum256([]byte(name))
	return &member{name: name, id: binary.BigEndian.Uint64(sum[:]) | 1, index: -1, turn: turn, health: health{well: true}}
}

// configure makes m what e and one of its targets say.
func (m *member) configure(backend string, e *Endpoint, t target, s *Settings) {
	m.configured = e.Name
	m.weight = float64(max(e.Weight, 1)) * cmp.Or(t.weight, 1)
	m.tier = t.rank
	if e.Backup {
		m.tier += backupTier
	}
	m.maxSessions, m.maxRequests = e.MaxSessions, e.MaxRequests
	m.insecure = e.TLS != nil && e.TLS.InsecureSkipVerify
	m.drain = e.Drain
	m.emptied = m.emptied && m.draining()
	if s.Check.Probe == nil {
		m.health.unasked()
	}
	how := way{
		backend: backend, endpoint: m.name, network: t.network, first: t.first, second: t.second, authority: t.authority,
		serverName: t.host, tlsKey: e.TLSKey, secure: e.TLS != nil, http2: e.HTTP2, streams: e.Streams, proxy: e.PROXY, records: s.TakeRecords, timeout: s.ConnectTimeout,
	}
	if m.link == nil || m.link.way != how {
		if m.link != nil {
			m.link.retire()
		}
		m.link = newLink(how, e.TLS, &m.open)
	}
}

func (m *member) draining() bool { return m.drain || m.drained }

// up reports whether m may get work.
func (m *member) up() bool { return m.well && m.ejected.IsZero() && !m.draining() }

func (m *member) idle() bool { return m.busy == [2]int{} }

func (m *member) load() int { return m.busy[Requests] + m.busy[Sessions] }

// full reports whether m can take no more work of a kind.
func (m *member) full(k Kind) bool {
	limit := m.maxRequests
	if k == Sessions {
		limit = m.maxSessions
	}
	return limit > 0 && m.busy[k] >= limit
}

// warm sets the power of m, which grows for a while after it has come up.
func (m *member) warm(now time.Time, over time.Duration) {
	m.power = m.weight
	if age := now.Sub(m.since); !m.since.IsZero() && age < over {
		m.power *= max(slowest, float64(age)/float64(over))
	} else {
		m.since = time.Time{}
	}
}

func (m *member) lease(p *Pool, n Need, t *Tried) *Lease {
	l := &Lease{pool: p, member: m, link: m.link, kind: n.Kind, final: p.final(t)}
	if m.link.proxy != 0 {
		l.client = &ends{n.Client, n.Server}
	}
	return l
}
