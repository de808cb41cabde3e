// Package telemetry writes the log of the gateway: the records of requests and of
// sessions, in the background.
package telemetry

import (
	"io"
	"time"

	"github.com/rs/zerolog"
)

const (
	flushTime  = 2 * time.Second  // how long Close waits for queued records to be written
	timeFormat = time.RFC3339Nano // without zeros at the end of the fraction
)

// A Sink writes log records in the background, so that no caller waits for the
// reader of the log. When the reader is slow and the queue is full, the oldest
// records are dropped; a record in the log then says how many.
type Sink struct {
	out      io.Writer
	queue    queue
	watchers watchers
	done     chan struct{} // closed when everything is written
}

// NewSink returns a sink that writes to out until [Sink.Close]. It does not
// close out.
func NewSink(out io.Writer) *Sink {
	s := &Sink{out: out, done: make(chan struct{})}
	s.queue.changed.L = &s.queue.mu
	go s.write()
	return s
}

func (s *Sink) write() {
	defer close(s.done)
	report := zerolog.New(s.out).Hook(stamp{})
	reported, buf := uint64(0), make([]byte, 0, writeSize)
	for {
		records, dropped, ok := s.queue.next(buf)
		if !ok {
			return
		}
		if dropped > reported {
			report.Warn().Uint64("records", dropped-reported).Uint64("total", dropped).
				Msg("log records dropped: the reader of the log is too slow")
			reported = dropped
		}
		s.out.Write(records)
	}
}

// Dropped returns how many records were dropped so far.
func (s *Sink) Dropped() uint64 {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return s.queue.dropped
}

// Close returns when the queued records are written, or after two seconds.
// Records that are logged after Close are lost.
func (s *Sink) Close() {
	s.queue.close()
	select {
	case <-s.done:
	case <-time.After(flushTime):
	}
}

// Format is the form of a record in the log.
type Format int

const (
	JSON    Format = iota // one line of JSON
	Pretty                // for people to read
	Colored               // the same, with the colors of a terminal
)

// Logger returns a logger that writes to the sink what [Sink.SetLevel] lets through, and gives it to
// watchers.
func (s *Sink) Logger(f Format) zerolog.Logger {
	var w io.Writer = &s.queue
	if f != JSON {
		w = zerolog.ConsoleWriter{Out: &s.queue, TimeFormat: time.TimeOnly, NoColor: f != Colored}
	}
	return zerolog.New(tee{w, &s.watchers}).Hook(stamp{})
}

// stamp adds the time to a record. zerolog's own way would need a change to the
// time format that all loggers of the process share.
type stamp struct{}

func (stamp) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str(zerolog.TimestampFieldName, time.Now().Format(timeFormat))
}
