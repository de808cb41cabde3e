//go:build !portable

package relay

// alarms is the sessions of a loop that have an alarm, as a heap: the next one
// comes first. Only the moments in their places decide.
type alarms []*place

// set has a session looked at when the moment comes, 0 for never.
func (a *alarms) set(p *place, moment int64) {
	switch old := p.alarm; {
	case old == moment:
	case moment == 0:
		a.remove(p)
	case old == 0:
		p.alarm, p.rank = moment, int32(len(*a))
		*a = append(*a, p)
		a.up(p)
	default:
		p.alarm = moment
		a.up(p)
		a.down(p)
	}
}

// remove takes a session's alarm away.
func (a *alarms) remove(p *place) {
	if p.alarm == 0 {
		return
	}
	p.alarm = 0
	end := len(*a) - 1
	last := (*a)[end]
	*a = (*a)[:end]
	if last != p {
		a.put(last, p.rank)
		a.up(last)
		a.down(last)
	}
}

func (a *alarms) put(p *place, rank int32) { (*a)[rank], p.rank = p, rank }

func (a *alarms) up(p *place) {
	for p.rank > 0 {
		parent := (*a)[(p.rank-1)/2]
		if parent.alarm <= p.alarm {
			break
		}
		rank := parent.rank
		a.put(parent, p.rank)
		a.put(p, rank)
	}
}

func (a *alarms) down(p *place) {
	for {
		child := 2*p.rank + 1
		if int(child) >= len(*a) {
			break
		}
		if right := child + 1; int(right) < len(*a) && (*a)[right].alarm < (*a)[child].alarm {
			child = right
		}
		lower := (*a)[child]
		if p.alarm <= lower.alarm {
			break
		}
		a.put(lower, p.rank)
		a.put(p, child)
	}
}
