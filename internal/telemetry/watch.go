package telemetry

import (
	"bytes"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"
)

// Hidden is the level of records that are for watchers alone: the log does not have them at any
// level that it may be given.
const Hidden = zerolog.TraceLevel

// The most that there is of watchers.
const (
	maxWatchers  = 16
	watchRecords = 1024 // that wait for a slow watcher
)

// A Watcher gets the records of a log while they are written, those of level info and above and the
// hidden ones.
type Watcher struct {
	records chan []byte
	lost    atomic.Uint64
}

// Records returns the channel of the records, each a line of JSON that belongs to the receiver.
func (w *Watcher) Records() <-chan []byte { return w.records }

// Lost returns how many records the watcher did not get since the last call: it was too slow.
func (w *Watcher) Lost() uint64 { return w.lost.Swap(0) }

// watchers is the watchers of a log, and from what level on it is written.
type watchers struct {
	level atomic.Int32 // least severe zerolog.Level in the log

	mu  sync.RWMutex
	all map[*Watcher]struct{}
	n   atomic.Int32 // of them
}

// SetLevel makes level the least severe one in the log. It holds for all loggers of the process.
func (s *Sink) SetLevel(level zerolog.Level) {
	s.watchers.mu.Lock()
	defer s.watchers.mu.Unlock()
	s.watchers.level.Store(int32(level))
	s.watchers.apply()
}

// Level returns the least severe level in the log.
func (s *Sink) Level() zerolog.Level { return zerolog.Level(s.watchers.level.Load()) }

// apply makes zerolog write the records that somebody wants. The lock is held.
func (w *watchers) apply() {
	if w.n.Load() > 0 {
		zerolog.SetGlobalLevel(Hidden)
	} else {
		zerolog.SetGlobalLevel(zerolog.Level(w.level.Load()))
	}
}

// Watched reports whether somebody watches the log, so that hidden records are wanted.
func (s *Sink) Watched() bool { return s.watchers.n.Load() > 0 }

// Watch returns a watcher, or nil if there are too many. Stop ends it.
func (s *Sink) Watch() (w *Watcher, stop func()) {
	all := &s.watchers
	all.mu.Lock()
	defer all.mu.Unlock()
	if len(all.all) >= maxWatchers {
		return nil, nil
	}
	w = &Watcher{records: make(chan []byte, watchRecords)}
	if all.all == nil {
		all.all = make(map[*Watcher]struct{})
	}
	all.all[w] = struct{}{}
	all.n.Add(1)
	all.apply()
	return w, func() {
		all.mu.Lock()
		defer all.mu.Unlock()
		if _, ok := all.all[w]; ok {
			delete(all.all, w)
			all.n.Add(-1)
			all.apply()
		}
	}
}

// offer gives a record to the watchers. It waits for none.
func (w *watchers) offer(record []byte) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for one := range w.all {
		select {
		case one.records <- bytes.Clone(record):
		default:
			one.lost.Add(1)
		}
	}
}

// tee writes records to the log and gives them to the watchers.
type tee struct {
	out interface{ Write([]byte) (int, error) } // of the log
	*watchers
}

// Write writes a record without a level.
func (t tee) Write(record []byte) (int, error) { return t.WriteLevel(zerolog.NoLevel, record) }

// WriteLevel implements [zerolog.LevelWriter].
func (t tee) WriteLevel(level zerolog.Level, record []byte) (n int, err error) {
	if t.n.Load() > 0 && (level >= zerolog.InfoLevel || level == Hidden) {
		t.offer(record)
	}
	if level < zerolog.Level(t.level.Load()) {
		return len(record), nil
	}
	return t.out.Write(record)
}
