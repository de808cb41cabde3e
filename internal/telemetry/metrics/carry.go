package metrics

import (
	"cmp"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"

	"sluice/internal/codec"
)

const (
	mostFamilies = 1000
	mostFamily   = 4 << 20 // bytes of a family that is written down
)

// Carry writes down what has been counted, or reads what another process has counted: all metrics go on from there. What was
// read before is forgotten.
func (m *Metrics) Carry(c *codec.Coder) {
	var families []*dto.MetricFamily
	if !c.Reading() {
		all, err := m.Gather()
		if err != nil {
			c.Fail(err)
		}
		families = slices.DeleteFunc(all, func(f *dto.MetricFamily) bool { return !counts(f) })
	}
	var wrong error
	codec.List(c, &families, mostFamilies, func(c *codec.Coder, f **dto.MetricFamily) {
		var b []byte
		if !c.Reading() {
			b, wrong = proto.Marshal(*f)
		}
		if c.Bytes(&b, mostFamily); c.Reading() && c.Err() == nil {
			*f = new(dto.MetricFamily)
			wrong = proto.Unmarshal(b, *f)
		}
		if wrong != nil {
			c.Fail(wrong)
		}
	})
	if c.Reading() && c.Err() == nil {
		m.before.Store(&families)
	}
}

// counts reports whether a family is of what the gateway counts.
func counts(f *dto.MetricFamily) bool {
	return strings.HasPrefix(f.GetName(), "sluice_") && (f.GetType() == dto.MetricType_COUNTER || f.GetType() == dto.MetricType_HISTOGRAM)
}

// Gather returns all families, with what other processes have counted. It implements [prometheus.Gatherer].
func (m *Metrics) Gather() ([]*dto.MetricFamily, error) {
	all, err := m.registry.Gather()
	before := m.before.Load()
	if err != nil || before == nil {
		return all, err
	}
	now := make(map[string]*dto.MetricFamily, len(all))
	for _, f := range all {
		now[f.GetName()] = f
	}
	for _, old := range *before {
		f := now[old.GetName()]
		switch {
		case f == nil:
			all = append(all, old)
		case f.GetType() == old.GetType():
			f.Metric = added(f.GetMetric(), old.GetMetric())
		}
	}
	slices.SortFunc(all, func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return all, nil
}

// added returns metrics with those of before, which stay as they are, added.
func added(now, before []*dto.Metric) []*dto.Metric {
	byLabels := make(map[string]*dto.Metric, len(now))
	for _, m := range now {
		byLabels[labels(m)] = m
	}
	for _, old := range before {
		m := byLabels[labels(old)]
		switch {
		case m == nil:
			now = append(now, old)
		case m.Counter != nil && old.Counter != nil:
			m.Counter.Value = new(m.Counter.GetValue() + old.Counter.GetValue())
		case m.Histogram != nil && old.Histogram != nil:
			addHistogram(m.Histogram, old.Histogram)
		}
	}
	slices.SortFunc(now, func(a, b *dto.Metric) int { return cmp.Compare(labels(a), labels(b)) })
	return now
}

// addHistogram adds before to h, unless it has other buckets.
func addHistogram(h, before *dto.Histogram) {
	same := slices.EqualFunc(h.Bucket, before.Bucket, func(a, b *dto.Bucket) bool { return a.GetUpperBound() == b.GetUpperBound() })
	if !same {
		return
	}
	h.SampleCount = new(h.GetSampleCount() + before.GetSampleCount())
	h.SampleSum = new(h.GetSampleSum() + before.GetSampleSum())
	for i, b := range h.Bucket {
		b.CumulativeCount = new(b.GetCumulativeCount() + before.Bucket[i].GetCumulativeCount())
	}
}

// labels returns the values of a metric's labels, which are in the order of their names.
func labels(m *dto.Metric) string {
	var b strings.Builder
	for _, l := range m.Label {
		b.WriteString(l.GetValue())
		b.WriteByte(0xff)
	}
	return b.String()
}
