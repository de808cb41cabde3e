package metrics

import (
	"bytes"
	"testing"

	"sluice/internal/codec"
)

// carriedBytes returns what m is written down as.
func carriedBytes(t testing.TB, m *Metrics) []byte {
	t.Helper()
	w := codec.Writer(make([]byte, 0, 8<<20))
	if m.Carry(w); w.End() != nil {
		t.Fatal(w.End())
	}
	return w.Written()
}

// readFrom makes m read what another one has written.
func readFrom(m *Metrics, b []byte) error {
	r := codec.Reader(b)
	m.Carry(r)
	return r.End()
}

// reloads returns how many reloads went well, by what is gathered.
func reloads(t testing.TB, m *Metrics) (n float64) {
	t.Helper()
	all, err := m.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() != "sluice_config_reloads_total" {
			continue
		}
		for _, one := range f.Metric {
			if one.Label[0].GetValue() == "ok" {
				n += one.Counter.GetValue()
			}
		}
	}
	return n
}

// Counters go on from those of the processes before, and what is read again takes the place of what was read.
func TestCarry(t *testing.T) {
	first, second, third := New("1"), New("2"), New("3")
	first.Reloads.WithLabelValues("ok").Add(3)
	if err := readFrom(second, carriedBytes(t, first)); err != nil {
		t.Fatal(err)
	}
	second.Reloads.WithLabelValues("ok").Add(2)
	first.Reloads.WithLabelValues("ok").Inc() // what it counted at its end
	if err := readFrom(second, carriedBytes(t, first)); err != nil {
		t.Fatal(err)
	}
	if got := reloads(t, second); got != 6 {
		t.Errorf("the second process has %v reloads; want 6", got)
	}
	if err := readFrom(third, carriedBytes(t, second)); err != nil {
		t.Fatal(err)
	}
	third.Reloads.WithLabelValues("ok").Inc()
	if got := reloads(t, third); got != 7 {
		t.Errorf("the third process has %v reloads; want 7", got)
	}
	for range 2 { // what is gathered does not change what was read
		if got := reloads(t, third); got != 7 {
			t.Errorf("then it has %v", got)
		}
	}
}

// FuzzCarry reads metrics from bytes. Whatever was read can be gathered, written, and read again.
func FuzzCarry(f *testing.F) {
	m := New("1")
	m.Reloads.WithLabelValues("ok").Inc()
	f.Add(carriedBytes(f, m))
	f.Add(carriedBytes(f, New("1")))
	f.Fuzz(func(t *testing.T, in []byte) {
		m := New("2")
		if readFrom(m, bytes.Clone(in)) != nil {
			return
		}
		if _, err := m.Gather(); err != nil {
			t.Fatal(err)
		}
		if err := readFrom(New("3"), carriedBytes(t, m)); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
	})
}
