package telemetry

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

// keepLevel gives zerolog its level back after a test: it is one for the whole process.
func keepLevel(t *testing.T) {
	level := zerolog.GlobalLevel()
	t.Cleanup(func() { zerolog.SetGlobalLevel(level) })
}

// A watcher gets what the log has, and what is hidden or below its level from info on. The log itself
// stays as it was.
func TestAWatcherGetsMoreThanTheLog(t *testing.T) {
	keepLevel(t)
	for _, f := range []Format{JSON, Pretty} {
		var out bytes.Buffer
		s := NewSink(&out)
		s.SetLevel(zerolog.WarnLevel)
		l := s.Logger(f)
		write := func() {
			for _, level := range []zerolog.Level{Hidden, zerolog.DebugLevel, zerolog.InfoLevel, zerolog.WarnLevel} {
				l.WithLevel(level).Msg("a record of " + level.String())
			}
			l.Log().Msg("a record of none")
		}
		if s.Watched() {
			t.Error("Watched() = true; want false")
		}
		write()
		w, stop := s.Watch()
		if !s.Watched() {
			t.Error("Watched() = false; want true")
		}
		write()
		stop()
		stop() // does nothing
		write()
		s.Close()
		var got []string
		for range len(w.Records()) {
			record := string(<-w.Records())
			if !strings.HasPrefix(record, "{") {
				t.Errorf("a watcher got %q; want JSON", record)
			}
			_, name, _ := strings.Cut(record, "a record of ")
			got = append(got, strings.TrimRight(name, "\"}\n"))
		}
		if strings.Join(got, " ") != "trace info warn none" {
			t.Errorf("a watcher got %q", got)
		}
		if n := strings.Count(out.String(), "\n"); n != 6 || strings.Count(out.String(), "a record of warn") != 3 {
			t.Errorf("the log has %d lines; want the warning and that without a level, three times:\n%s", n, &out)
		}
		if s.Watched() || zerolog.GlobalLevel() != zerolog.WarnLevel {
			t.Errorf("Watched() = %t, level %s after the end; want false and warn", s.Watched(), zerolog.GlobalLevel())
		}
	}
}

// A watcher that does not read misses records and is told how many; nothing waits for it.
func TestASlowWatcherMissesRecords(t *testing.T) {
	keepLevel(t)
	s := NewSink(new(bytes.Buffer))
	s.SetLevel(zerolog.InfoLevel)
	w, stop := s.Watch()
	defer stop()
	l := s.Logger(JSON)
	const more = 7
	for range watchRecords + more {
		l.Info().Msg("m")
	}
	if n, lost := len(w.Records()), w.Lost(); n != watchRecords || lost != more {
		t.Errorf("%d records wait, %d are lost; want %d and %d", n, lost, watchRecords, more)
	}
	if lost := w.Lost(); lost != 0 {
		t.Errorf("Lost() = %d the second time; want 0", lost)
	}
}

func TestWatchersAreFew(t *testing.T) {
	keepLevel(t)
	s := NewSink(new(bytes.Buffer))
	var stops []func()
	for range maxWatchers {
		w, stop := s.Watch()
		if w == nil {
			t.Fatal("Watch() = nil; want a watcher")
		}
		stops = append(stops, stop)
	}
	if w, _ := s.Watch(); w != nil {
		t.Error("there are too many watchers")
	}
	stops[0]()
	if w, stop := s.Watch(); w == nil {
		t.Error("Watch() = nil though one has ended")
	} else {
		stop()
	}
	for _, stop := range stops {
		stop()
	}
}
