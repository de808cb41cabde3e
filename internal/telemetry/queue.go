package telemetry

import (
	"bytes"
	"sync"
)

// The most that is queued for a slow reader.
const (
	queueRecords = 16 << 10
	queueBytes   = 16 << 20
)

// writeSize is how many bytes of records are written at once: what a pipe takes whole (pipe(7)). A
// longer record is written alone.
const writeSize = 4 << 10

// queue holds the records that wait to be written, the oldest first. Write never
// waits for the reader: when the queue is full, it drops the oldest records.
// zerolog's diode does the same without a lock, but sometimes does not wake its
// reader, and gives up after a gap.
type queue struct {
	mu      sync.Mutex
	changed sync.Cond // signaled by Write and close; L is mu
	ring    [queueRecords][]byte
	first   int // index of the oldest
	length  int // in records
	size    int // in bytes
	dropped uint64
	closed  bool
}

// Write queues a copy of record. It always succeeds.
func (q *queue) Write(record []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.length == queueRecords || q.length > 0 && q.size+len(record) > queueBytes {
		q.shift()
		q.dropped++
	}
	q.ring[(q.first+q.length)%queueRecords] = bytes.Clone(record)
	q.length++
	q.size += len(record)
	q.changed.Signal()
	return len(record), nil
}

// shift removes the oldest record. There must be one, and the caller holds q.mu.
func (q *queue) shift() []byte {
	record := q.ring[q.first]
	q.ring[q.first] = nil
	q.first = (q.first + 1) % queueRecords
	q.length--
	q.size -= len(record)
	return record
}

// next waits for records, removes the oldest ones and returns them, mostly in buf, which is
// empty. dropped is how many records have been dropped so far, all of them older than these. ok
// is false when the queue is closed and empty.
func (q *queue) next(buf []byte) (records []byte, dropped uint64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.length == 0 && !q.closed {
		q.changed.Wait()
	}
	if q.length == 0 {
		return nil, q.dropped, false
	}
	first := q.shift()
	if len(first) >= writeSize {
		return first, q.dropped, true
	}
	buf = append(buf, first...)
	for q.length > 0 && len(buf)+len(q.ring[q.first]) <= writeSize {
		buf = append(buf, q.shift()...)
	}
	return buf, q.dropped, true
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Signal()
}
