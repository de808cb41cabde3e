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
	groups [][]span
	length int // in spans
}

// put adds spans, which belong to the queue then, or reports false if there is no room for all of them.
func (q *queue) put(spans []span) bool {
	q.mu.Lock()
	if q.length+len(spans) > mostQueued {
		q.mu.Unlock()
		return false
	}
	q.groups = append(q.groups, spans)
	q.length += len(spans)
	batch := q.length >= batchSpans
	q.mu.Unlock()
	if batch {
		select {
		case q.filled <- struct{}{}:
		default:
		}
	}
	return true
}

// take removes the oldest spans, about a batch, and reports whether a whole one is left.
func (q *queue) take() (batch []span, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for n < len(q.groups) && len(batch) < batchSpans {
		batch = append(batch, q.groups[n]...)
		q.groups[n] = nil
		n++
	}
	if q.groups = q.groups[n:]; len(q.groups) == 0 {
		q.groups = nil // a burst leaves no memory behind
	}
	q.length -= len(batch)
	return batch, q.length >= batchSpans
}
