package backend

import (
	"context"
	"sync"
	"time"
)

// job is something that takes a while.
type job func(ctx context.Context)

// alarm is the moment when something is due next; zero when nothing is.
type alarm struct{ time.Time }

func (a *alarm) at(t time.Time) {
	if a.IsZero() || t.Before(a.Time) {
		a.Time = t
	}
}

// Run looks after the endpoints until ctx ends: it probes them, looks names up,
// brings back those that were ejected, and has sessions end where they are too
// many. shed does so: it returns how many there were, and does not wait for
// their end.
func (p *Pool) Run(ctx context.Context, shed func(Shed) int) {
	var jobs sync.WaitGroup
	defer jobs.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-timer.C:
		}
		work, sheds, due := p.tick(time.Now())
		for _, j := range work {
			jobs.Go(func() { j(ctx) })
		}
		for _, s := range sheds {
			p.shed(s, shed(s))
		}
		if !due.IsZero() {
			timer.Reset(time.Until(due.Time))
		}
	}
}

// tick does what is due at the moment now and returns what takes longer, and
// when to come again.
func (p *Pool) tick(now time.Time) (work []job, sheds []Shed, due alarm) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readmit(now, &due)
	p.warmUp(now, &due)
	work = append(p.lookups(now, &due), p.probes(now, &due)...)
	sheds = append(p.drains(), p.rebalance(now, &due)...)
	return work, sheds, due
}

// warmSteps is in how many steps a slow start goes.
const warmSteps = 50

// warmUp gives members that have come up a little more.
func (p *Pool) warmUp(now time.Time, due *alarm) {
	if p.warming() {
		p.arrange(now)
		due.at(now.Add(p.settings.SlowStart/warmSteps + time.Millisecond))
	}
}
