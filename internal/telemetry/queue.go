package telemetry

import (
	"bytes"
	"sync"
)

// What waits for a slow reader, at most.
const (
	queueRecords = 16 << 10
	queueBytes   = 16 << 20
)

// queue is the records that wait to be written, the oldest first. A Write
// never waits for the reader: where the queue is full, the oldest records make
// room. zerolog's diode does the same without a lock, but forgets to wake its
// reader now and then, and gives up behind a gap.
type queue struct {
	mu      sync.Mutex
	changed sync.Cond // L is mu; by Write and close
	ring    [queueRecords][]byte
	first   int // index of the oldest
	length  int // in records
	size    int // in bytes
	dropped uint64
	closed  bool
}

// Write puts one record in line. It always succeeds.
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

func (q *queue) shift() []byte {
	record := q.ring[q.first]
	q.ring[q.first] = nil
	q.first = (q.first + 1) % queueRecords
	q.length--
	q.size -= len(record)
	return record
}

// next waits for a record and takes it. dropped is the number of records that
// were dropped so far, all of them in front of it. ok is false at the end: the
// queue is closed and empty.
func (q *queue) next() (record []byte, dropped uint64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.length == 0 && !q.closed {
		q.changed.Wait()
	}
	if q.length == 0 {
		return nil, q.dropped, false
	}
	return q.shift(), q.dropped, true
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Signal()
}
