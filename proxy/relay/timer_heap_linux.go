//go:build !portable

package relay

// timers is the sessions of a loop that have an alarm, as a heap: the next one
// comes first. Only the moments in their places decide.
type timers []*slot

// set has a session looked at when the moment comes, 0 for never.
func (a *timers) set(p *slot, moment int64) {
	switch old := p.timer; {
	case old == moment:
	case moment == 0:
		a.remove(p)
	case old == 0:
		p.timer, p.timerRank = moment, int32(len(*a))
		*a = append(*a, p)
		a.up(p)
	default:
		p.timer = moment
		a.up(p)
		a.down(p)
	}
}

// remove takes a session's alarm away.
func (a *timers) remove(p *slot) {
	if p.timer == 0 {
		return
	}
	p.timer = 0
	end := len(*a) - 1
	last := (*a)[end]
	*a = (*a)[:end]
	if last != p {
		a.place(last, p.timerRank)
		a.up(last)
		a.down(last)
	}
}

func (a *timers) place(p *slot, rank int32) { (*a)[rank], p.timerRank = p, rank }

func (a *timers) up(p *slot) {
	for p.timerRank > 0 {
		parent := (*a)[(p.timerRank-1)/2]
		if parent.timer <= p.timer {
			break
		}
		rank := parent.timerRank
		a.place(parent, p.timerRank)
		a.place(p, rank)
	}
}

func (a *timers) down(p *slot) {
	for {
		child := 2*p.timerRank + 1
		if int(child) >= len(*a) {
			break
		}
		if right := child + 1; int(right) < len(*a) && (*a)[right].timer < (*a)[child].timer {
			child = right
		}
		lower := (*a)[child]
		if p.timer <= lower.timer {
			break
		}
		a.place(lower, p.timerRank)
		a.place(p, child)
	}
}
