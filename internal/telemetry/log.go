// Package telemetry is what people see of the gateway: its log, with one record
// for each request and two for each session.
package telemetry

import (
	"io"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"github.com/rs/zerolog/diode"
)

const (
	queueLength = 16 << 10         // records that wait for a slow reader
	flushTime   = 2 * time.Second  // for them to be written at the end
	timeFormat  = time.RFC3339Nano // with the fraction that is there
)

// A Sink writes log records in the background. Whoever logs never waits: when
// the reader is slow and the queue full, the oldest records are dropped, which
// is counted and said in the log itself.
type Sink struct {
	out     io.Writer
	queue   diode.Writer
	dropped atomic.Uint64
}

// NewSink returns a sink that writes to out until [Sink.Close].
func NewSink(out io.Writer) *Sink {
	s := &Sink{out: out}
	s.queue = diode.NewWriter(writer{out}, queueLength, 0, s.missed)
	return s
}

// writer hides a Close method: standard output stays open.
type writer struct{ io.Writer }

// missed runs in the goroutine that writes.
func (s *Sink) missed(n int) {
	total := s.dropped.Add(uint64(n))
	l := zerolog.New(s.out).With().Timestamp().Logger()
	l.Warn().Int("records", n).Uint64("total", total).Msg("log records dropped: the reader of the log is too slow")
}

// Dropped returns how many records were dropped so far.
func (s *Sink) Dropped() uint64 { return s.dropped.Load() }

// Close writes what waits, for a bounded time.
func (s *Sink) Close() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.queue.Close()
	}()
	select {
	case <-done:
	case <-time.After(flushTime):
	}
}

// Logger returns a logger that writes to the sink. A record is one line of
// JSON, or for people where pretty is set.
func (s *Sink) Logger(level zerolog.Level, pretty bool) zerolog.Logger {
	var w io.Writer = s.queue
	if pretty {
		w = zerolog.ConsoleWriter{Out: s.queue, TimeFormat: time.TimeOnly}
	}
	return zerolog.New(w).Level(level).Hook(stamp{})
}

// stamp puts the time on a record; zerolog's own would need its global format
// to be changed.
type stamp struct{}

func (stamp) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str(zerolog.TimestampFieldName, time.Now().Format(timeFormat))
}
