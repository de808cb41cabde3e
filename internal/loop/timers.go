//go:build linux

package loop

// SetTimer makes the loop call Due for a slot at a moment; 0 stops the timer. A slot has
// one timer.
func (l *Loop) SetTimer(e *Entry, moment int64) { l.timers.set(e, moment) }

// StopTimer stops the timer of a slot.
func (l *Loop) StopTimer(e *Entry) { l.timers.stop(e) }

// timers is the slots whose timer is set, as a heap: the next one comes first.
type timers []*Entry

// next returns the moment of the next timer; 0 if none is set.
func (t timers) next() int64 {
	if len(t) == 0 {
		return 0
	}
	return t[0].timer
}

// due returns the next slot whose timer has fired by now, or nil.
func (t timers) due(now int64) *Entry {
	if len(t) == 0 || t[0].timer > now {
		return nil
	}
	return t[0]
}

func (t *timers) set(e *Entry, moment int64) {
	switch old := e.timer; {
	case old == moment:
	case moment == 0:
		t.stop(e)
	case old == 0:
		e.timer, e.rank = moment, int32(len(*t))
		*t = append(*t, e)
		t.up(e)
	default:
		e.timer = moment
		t.up(e)
		t.down(e)
	}
}

func (t *timers) stop(e *Entry) {
	if e.timer == 0 {
		return
	}
	e.timer = 0
	end := len(*t) - 1
	last := (*t)[end]
	*t = (*t)[:end]
	if last != e {
		t.place(last, e.rank)
		t.up(last)
		t.down(last)
	}
}

// place makes rank the place of an entry in the heap.
func (t *timers) place(e *Entry, rank int32) { (*t)[rank], e.rank = e, rank }

// up moves an entry up while it fires before its parent.
func (t *timers) up(e *Entry) {
	for e.rank > 0 {
		parent := (*t)[(e.rank-1)/2]
		if parent.timer <= e.timer {
			break
		}
		rank := parent.rank
		t.place(parent, e.rank)
		t.place(e, rank)
	}
}

// down moves an entry down while it fires after one of its children.
func (t *timers) down(e *Entry) {
	for {
		child := 2*e.rank + 1
		if int(child) >= len(*t) {
			break
		}
		if right := child + 1; int(right) < len(*t) && (*t)[right].timer < (*t)[child].timer {
			child = right
		}
		lower := (*t)[child]
		if e.timer <= lower.timer {
			break
		}
		t.place(lower, e.rank)
		t.place(e, child)
	}
}
