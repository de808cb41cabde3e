package tracing

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Run exports spans until ctx ends, and then what is left, for a bounded time.
func (t *Tracer) Run(ctx context.Context) {
	// A request that is under way when ctx ends is not cut: the collector may have its spans already.
	sending, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(flushTime, cut) })()
	e := exporter{Tracer: t}
	defer func() { e.to.close() }()
	tick := time.NewTicker(batchTime)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			e.flush(sending, nil)
			return
		case <-t.changed:
			e.flush(sending, t.queue.goesTo())
			e.turn(nil)
		case <-tick.C:
			e.export(ctx, sending)
		case <-t.queue.filled:
			e.export(ctx, sending)
		}
	}
}

// exporter is what Run has at hand.
type exporter struct {
	*Tracer
	to   *destination // of the last batch; nil for none
	left batch        // of an export that was not finished
}

// export exports the spans that are left and those that wait, but for a rest that may wait for more. A
// collector that does not take a batch is asked again. If ctx ends or the collector changes meanwhile, it
// returns early. A request lasts no longer than the context sending.
func (e *exporter) export(ctx, sending context.Context) {
	for more := true; more && !e.interrupted(ctx); {
		b := e.left
		if e.left = (batch{}); len(b.spans) == 0 {
			b, more = e.queue.take(nil)
		}
		if len(b.spans) == 0 {
			return
		}
		err := e.send(sending, b)
		for try, pause := 1, firstPause; err != nil && try < mostTries; try, pause = try+1, min(2*pause, longestPause) {
			again, ok := errors.AsType[*retryError](err)
			if !ok {
				break
			}
			e.failed(err)
			if !e.wait(ctx, max(jitter(pause), min(again.after, longestPause))) {
				e.left = b
				return
			}
			err = e.send(sending, b)
		}
		e.exported(b, err)
	}
}

// jitter returns a pause that is a bit shorter: many gateways must not ask a collector at the same moment.
func jitter(pause time.Duration) time.Duration { return pause - rand.N(pause/4) }

// interrupted reports whether there is something else to do than to export what waits.
func (e *exporter) interrupted(ctx context.Context) bool {
	return ctx.Err() != nil || len(e.changed) > 0
}

// wait waits before another try, and reports whether there is to be one now.
func (e *exporter) wait(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-e.changed:
		e.noteChange() // for Run
	}
	return false
}

// flush exports the spans that are left and all that wait, but those for the collector keep, each batch
// once, for a bounded time.
func (e *exporter) flush(ctx context.Context, keep *Options) {
	ctx, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()
	b := e.left
	if e.left = (batch{}); len(b.spans) == 0 {
		b, _ = e.queue.take(keep)
	}
	for ; len(b.spans) > 0; b, _ = e.queue.take(keep) {
		e.exported(b, e.send(ctx, b))
	}
}

// send sends a batch where it goes.
func (e *exporter) send(ctx context.Context, b batch) error {
	if e.to == nil || e.to.options != b.to {
		e.turn(e.destination(b.to))
	}
	return e.to.send(ctx, b.spans)
}

// turn makes to the destination, in place of the last one.
func (e *exporter) turn(to *destination) {
	e.to.close()
	e.to = to
}

// exported counts a batch that was exported, or dropped because of err.
func (t *Tracer) exported(b batch, err error) {
	rejected := 0
	if partly, ok := errors.AsType[*partialError](err); ok {
		rejected = int(min(max(0, partly.rejected), int64(len(b.spans))))
	} else if err != nil {
		rejected = len(b.spans)
	}
	t.count(len(b.spans)-rejected, true)
	t.count(rejected, false)
	if err != nil {
		t.failed(err)
	}
}
