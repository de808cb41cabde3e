package telemetry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// slow is a log reader that takes what is written at once for each value in next. When next
// is closed, it takes all.
type slow struct {
	next  chan struct{}
	lines []string
	sizes []int // of what was written at once
}

func (s *slow) Write(p []byte) (int, error) {
	<-s.next
	s.lines = slices.AppendSeq(s.lines, strings.Lines(string(p)))
	s.sizes = append(s.sizes, len(p))
	return len(p), nil
}

// split separates records from the warnings of the sink about dropped records.
func split(t *testing.T, lines []string) (records []string, said [][2]int) {
	t.Helper()
	for _, line := range lines {
		if !strings.HasPrefix(line, `{"level":"warn"`) {
			records = append(records, line)
			continue
		}
		var r struct {
			Records, Total int
			Time           time.Time
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.Time.IsZero() {
			t.Errorf("%q: %v; want a record with a time", line, err)
		}
		said = append(said, [2]int{r.Records, r.Total})
	}
	return records, said
}

// dropped returns how many records have been dropped.
func dropped(s *Sink) uint64 {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return s.queue.dropped
}

func TestABlockedReaderBlocksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &slow{next: make(chan struct{})}
		s := NewSink(out)
		put := func(from, to int) {
			for i := from; i < to; i++ {
				fmt.Fprintf(&s.queue, "%d\n", i)
			}
		}
		put(0, 1)
		synctest.Wait() // the first record is being written
		put(1, queueRecords+1)
		if n := dropped(s); n != 0 {
			t.Errorf("%d records dropped from a queue that is just full", n)
		}
		put(queueRecords+1, queueRecords+11)
		if n := dropped(s); n != 10 {
			t.Errorf("%d records dropped; want the 10 for which there was no room", n)
		}
		out.next <- struct{}{} // the first
		out.next <- struct{}{} // the warning about dropped records
		synctest.Wait()
		taken := queueRecords - s.queue.length // from 11 on, which are being written
		put(queueRecords+11, queueRecords+11+taken+2)
		close(out.next)
		s.Close()

		records, said := split(t, out.lines)
		var want []string
		for i := range queueRecords + 11 + taken + 2 {
			if i == 0 || i >= 11 && i < 11+taken || i >= 11+taken+2 {
				want = append(want, fmt.Sprintf("%d\n", i))
			}
		}
		if !slices.Equal(records, want) {
			t.Errorf("%d records were written, from %q to %q; want %d", len(records), records[:3], records[len(records)-1], len(want))
		}
		if want := [][2]int{{10, 10}, {2, 12}}; !slices.Equal(said, want) {
			t.Errorf("said of records dropped, and in total: %v; want %v", said, want)
		}
	})
}

func TestWhatWaitsIsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &slow{next: make(chan struct{})}
		s := NewSink(out)
		s.queue.Write([]byte("first\n"))
		synctest.Wait()
		const size = 1 << 20
		big := append(bytes.Repeat([]byte("x"), size-1), '\n')
		for range 3 * queueBytes / size {
			s.queue.Write(big)
			if s.queue.size > queueBytes {
				t.Fatalf("%d bytes wait; want at most %d", s.queue.size, queueBytes)
			}
		}
		if want := uint64(2 * queueBytes / size); dropped(s) != want {
			t.Errorf("%d records dropped; want %d", dropped(s), want)
		}
		huge := make([]byte, queueBytes+1)
		s.queue.Write(huge) // is queued alone
		if s.queue.length != 1 {
			t.Errorf("%d records wait; want the newest", s.queue.length)
		}
		s.queue.Write(big)
		if s.queue.length != 1 || s.queue.size != size {
			t.Errorf("%d records of %d bytes wait; want the newest", s.queue.length, s.queue.size)
		}
		close(out.next)
		s.Close()
	})
}

func TestCloseWritesWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &slow{next: make(chan struct{})}
		s := NewSink(out)
		l := s.Logger(JSON)
		for i := range 1000 {
			l.Info().Int("i", i).Msg("")
		}
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			s.Close()
		}()
		synctest.Wait()
		select {
		case <-closed:
			t.Fatal("Close did not wait for what is being written")
		default:
		}
		close(out.next)
		<-closed
		if len(out.lines) != 1000 || !strings.Contains(out.lines[999], `"i":999`) {
			t.Errorf("%d records were written; want 1000", len(out.lines))
		}
		if most := slices.Max(out.sizes); most > writeSize || most < writeSize/2 {
			t.Errorf("%d bytes were written at once; want nearly %d", most, writeSize)
		}
	})
}

func TestCloseGivesUpOnABlockedReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &slow{next: make(chan struct{})}
		s := NewSink(out)
		l := s.Logger(JSON)
		l.Info().Msg("stuck")
		start := time.Now()
		s.Close()
		if waited := time.Since(start); waited != flushTime {
			t.Errorf("Close waited %v; want %v", waited, flushTime)
		}
		l.Info().Msg("nobody waits for this") // it must not block
		close(out.next)
	})
}

// A record is written at once, not when the next one comes.
func TestEveryRecordWakesTheWriter(t *testing.T) {
	arrived := make(chan string)
	s := NewSink(writerFunc(func(p []byte) (int, error) {
		arrived <- string(p)
		return len(p), nil
	}))
	defer s.Close()
	stuck := time.After(time.Minute)
	for i := range 50000 {
		io.WriteString(&s.queue, "x")
		select {
		case <-arrived:
		case <-stuck:
			t.Fatalf("record %d was not written", i)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Every record is either written or counted as dropped, also when the reader goes
// on while the queue overflows.
func TestEveryRecordIsWrittenOrCounted(t *testing.T) {
	const loggers, each = 4, 15000
	for range 5 {
		var mu sync.Mutex
		mu.Lock()
		written, last := 0, [loggers]int{}
		s := NewSink(writerFunc(func(p []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			for line := range bytes.Lines(p) {
				var r struct{ Logger, I int }
				if err := json.Unmarshal(line, &r); err != nil {
					t.Errorf("%q: %v", line, err)
				}
				if bytes.HasPrefix(line, []byte(`{"level":"warn"`)) {
					continue
				}
				if written++; r.I <= last[r.Logger] {
					t.Errorf("logger %d: record %d came behind %d", r.Logger, r.I, last[r.Logger])
				}
				last[r.Logger] = r.I
			}
			return len(p), nil
		}))
		l := s.Logger(JSON)
		var wg sync.WaitGroup
		for logger := range loggers {
			wg.Go(func() {
				for i := range each {
					if i == each/2 && logger == 0 {
						mu.Unlock()
					}
					l.Info().Int("logger", logger).Int("i", i+1).Msg("")
				}
			})
		}
		wg.Wait()
		s.Close()
		<-s.done
		if dropped := int(dropped(s)); written+dropped != loggers*each {
			t.Errorf("%d records written and %d dropped are %d; want %d", written, dropped, written+dropped, loggers*each)
		}
	}
}

func TestLoggerWritesLinesWithATime(t *testing.T) {
	tests := []struct {
		name   string
		level  zerolog.Level
		format Format
		want   string
	}{
		{"JSON", zerolog.InfoLevel, JSON, `{"level":"info","k":"v","time":"2000-01-01T00:00:00Z","message":"m"}` + "\n"},
		{"for people", zerolog.InfoLevel, Pretty, "00:00:00 INF m k=v\n"},
		{"below the level", zerolog.WarnLevel, JSON, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				s := NewSink(&out)
				t.Cleanup(func() { zerolog.SetGlobalLevel(zerolog.TraceLevel) }) // SetLevel is about the whole process
				s.SetLevel(tt.level)
				l := s.Logger(tt.format)
				l.Info().Str("k", "v").Msg("m")
				s.Close()
				want := strings.ReplaceAll(tt.want, "2000-01-01T00:00:00Z", time.Now().Format(timeFormat))
				if tt.format == Pretty {
					want = strings.ReplaceAll(want, "00:00:00", time.Now().Format(time.TimeOnly))
				}
				if out.String() != want {
					t.Errorf("logged %q; want %q", &out, want)
				}
			})
		})
	}
}

// closer records that it was closed.
type closer struct {
	bytes.Buffer
	closed bool
}

func (c *closer) Close() error {
	c.closed = true
	return nil
}

func TestCloseLeavesTheOutputOpen(t *testing.T) {
	out := &closer{}
	NewSink(out).Close()
	if out.closed {
		t.Error("Close closed the output, which is not the sink's")
	}
}

func BenchmarkSink(b *testing.B) {
	s := NewSink(discard{})
	defer s.Close()
	l := s.Logger(JSON)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			l.Info().Str("route", "chat").Msg("request")
		}
	})
}
