package limit

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"time"

	"sluice/internal/codec"
)

// MostCarried is how many keys [Carry] writes down at most: about 3 MiB.
const MostCarried = 1 << 17

// debt is a bucket that is not full.
type debt struct {
	key  netip.Addr
	rest int64 // nanoseconds until it is full
}

// Carry writes down what l knows of clients, of at most so many of them: those who have used most. Or it makes l know what
// that of another process knew, if that held clients to the same rate.
func Carry(c *codec.Coder, l Limiter, most int) {
	now := time.Now()
	var rate Bucket
	var all []debt
	r, _ := l.(*Rates)
	if !c.Reading() && r != nil {
		rate, all = r.bucket, r.debts(now, most)
	}
	perToken := math.Float64bits(rate.perToken)
	codec.Number(c, &perToken)
	codec.Number(c, &rate.size)
	codec.List(c, &all, MostCarried, func(c *codec.Coder, d *debt) {
		known, key := d.key.IsValid(), d.key.As16()
		c.Bool(&known)
		if c.Raw(key[:]); known && c.Reading() {
			d.key = Key(netip.AddrFrom16(key))
		}
		codec.Number(c, &d.rest)
		c.Check(d.rest > 0, "a bucket that is full")
	})
	if c.Reading() && c.Err() == nil && r != nil && (Bucket{math.Float64frombits(perToken), rate.size}) == r.bucket {
		r.owe(all, now)
	}
}

// debts returns the buckets that are not full, at most so many: the emptiest.
func (r *Rates) debts(now time.Time, most int) (all []debt) {
	r.mu.Lock()
	moment := int64(now.Sub(r.epoch))
	for key, full := range r.full {
		if full > moment {
			all = append(all, debt{key, full - moment})
		}
	}
	r.mu.Unlock()
	if len(all) > most {
		slices.SortFunc(all, func(a, b debt) int { return cmp.Compare(b.rest, a.rest) })
		all = all[:most]
	}
	return all
}

// owe makes buckets as empty as they were.
func (r *Rates) owe(all []debt, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	moment := int64(now.Sub(r.epoch))
	for _, d := range all {
		r.full[d.key] = moment + min(d.rest, r.bucket.size)
	}
	if len(r.full) >= r.sweep {
		r.forget(now)
	}
}
