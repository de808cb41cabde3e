// Package telemetry is what people see of the gateway: its log, with one record
// for each request and two for each session.
package telemetry

import (
	"io"
	"time"

	"github.com/rs/zerolog"
)

const (
	flushTime  = 2 * time.Second  // for what waits to be written at the end
	timeFormat = time.RFC3339Nano // with the fraction that is there
)

// A Sink writes log records in the background. Whoever logs never waits: when
// the reader is slow and the queue full, the oldest records are dropped, which
// is counted and said in the log itself.
type Sink struct {
	out   io.Writer
	queue queue
	done  chan struct{} // closed when all is written
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
	said := uint64(0)
	for {
		record, dropped, ok := s.queue.next()
		if !ok {
			return
		}
		if dropped > said {
			report.Warn().Uint64("records", dropped-said).Uint64("total", dropped).
				Msg("log records dropped: the reader of the log is too slow")
			said = dropped
		}
		s.out.Write(record)
	}
}

// Dropped returns how many records were dropped so far.
func (s *Sink) Dropped() uint64 {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return s.queue.dropped
}

// Close writes what waits, for a bounded time. What is logged afterwards is
// lost.
func (s *Sink) Close() {
	s.queue.close()
	select {
	case <-s.done:
	case <-time.After(flushTime):
	}
}

// Format is how a record is written.
type Format int

const (
	JSON    Format = iota // one line of JSON
	Pretty                // for people
	Colored               // for people at a terminal
)

// Logger returns a logger that writes to the sink.
func (s *Sink) Logger(level zerolog.Level, f Format) zerolog.Logger {
	var w io.Writer = &s.queue
	if f != JSON {
		w = zerolog.ConsoleWriter{Out: &s.queue, TimeFormat: time.TimeOnly, NoColor: f != Colored}
	}
	return zerolog.New(w).Level(level).Hook(stamp{})
}

// stamp puts the time on a record; zerolog's own would need its global format
// to be changed.
type stamp struct{}

func (stamp) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str(zerolog.TimestampFieldName, time.Now().Format(timeFormat))
}
