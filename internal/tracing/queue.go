package tracing

import "sync"

// mostQueued is how many spans wait for their export. What each may hold of a client's texts has a bound
// too: a span is some hundred bytes, and a few kilobytes at most.
const mostQueued = 8192

// queue is the spans that wait for their export, those of a request together, in the order in which their
// requests ended. When it is full, it takes nothing more.
type queue struct {
	filled chan struct{} // has a value when there is a batch

	mu     sync.Mutex
	to     *Options // where further spans go; nil for nowhere
	groups []batch
	length int // in spans
}

// batch is spans that go to one collector.
type batch struct {
	to    *Options
	spans []span
}

// turn makes further spans go to another collector, and reports whether it is another one. What waits goes
// where it would have gone before.
func (q *queue) turn(to *Options) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.to.same(to) {
		return false
	}
	q.to = to
	return true
}

// goesTo returns where further spans go, or nil for nowhere.
func (q *queue) goesTo() *Options {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.to
}

// put adds spans, which belong to the queue then, or reports false if there is no room for all of them.
// Without a collector it forgets them.
func (q *queue) put(spans []span) bool {
	q.mu.Lock()
	if q.to == nil || q.length+len(spans) > mostQueued {
		full := q.to != nil
		q.mu.Unlock()
		return !full
	}
	q.groups = append(q.groups, batch{q.to, spans})
	q.length += len(spans)
	filled := q.length >= batchSpans
	q.mu.Unlock()
	if filled {
		select {
		case q.filled <- struct{}{}:
		default:
		}
	}
	return true
}

// take removes the oldest spans that go to one collector, about a batch, and reports whether as many are
// left. Those for the collector keep stay: then there is no batch.
func (q *queue) take(keep *Options) (b batch, more bool) {
	groups, more := q.detach(keep)
	if len(groups) == 0 {
		return batch{}, false
	}
	n := 0
	for _, g := range groups {
		n += len(g.spans)
	}
	b = batch{groups[0].to, make([]span, 0, n)}
	for i, g := range groups {
		b.spans = append(b.spans, g.spans...)
		groups[i] = batch{} // the queue may still have the array
	}
	return b, more
}

// detach removes what take joins. Loops wait for the lock meanwhile: nothing is copied.
func (q *queue) detach(keep *Options) (groups []batch, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.groups) == 0 || q.groups[0].to == keep {
		return nil, false
	}
	n, length := 0, 0
	for n < len(q.groups) && q.groups[n].to == q.groups[0].to && length < batchSpans {
		length += len(q.groups[n].spans)
		n++
	}
	groups = q.groups[:n:n]
	if q.groups = q.groups[n:]; len(q.groups) == 0 {
		q.groups = nil // a burst leaves no memory behind
	}
	q.length -= length
	return groups, q.length >= batchSpans
}
