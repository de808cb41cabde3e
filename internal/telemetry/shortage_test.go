package telemetry

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"sluice/internal/limit"
)

// However often a shortage is met, its beginning and its end are said once.
func TestAShortageIsTwoLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		logger := zerolog.New(&log)
		s := NewShortages(func() *zerolog.Logger { return &logger })
		lines := func(what string, want ...string) {
			t.Helper()
			s.mu.Lock() // which orders this and what timers write
			defer s.mu.Unlock()
			got := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
			log.Reset()
			if len(got) != len(want) {
				t.Fatalf("%s: log %q, want %d lines", what, got, len(want))
			}
			for i, w := range want {
				if !strings.Contains(got[i], w) {
					t.Errorf("%s: %q, want %q in it", what, got[i], w)
				}
			}
		}
		for range 1000 {
			s.Note(limit.NoDescriptors, io.EOF)
			time.Sleep(quietTime / 2)
		}
		synctest.Wait()
		lines("all the time", "out of file descriptors: ")
		s.Note(limit.NoPorts, io.EOF)
		lines("another one", "out of local ports: ")
		time.Sleep(quietTime / 2)
		synctest.Wait()
		lines("when the first is over", `"times":1000,"duration_ms":4995000,"message":"file descriptors can be had again"`)
		time.Sleep(quietTime)
		synctest.Wait()
		lines("when the second is", "local ports can be had again")
		s.Note(limit.NoDescriptors, io.EOF)
		lines("again", "out of file descriptors: ")
		s.Stop()
		s.Note(limit.NoMemory, io.EOF)
		time.Sleep(time.Hour)
		synctest.Wait()
		if log.Len() > 0 {
			t.Errorf("log %q after the end", &log)
		}
	})
}
