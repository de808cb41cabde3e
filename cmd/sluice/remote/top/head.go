package top

import (
	"fmt"
	"time"

	"sluice/cmd/sluice/remote/show"
	"sluice/internal/admin"
)

// item is a part of a line: what it is, and what it has.
type item struct {
	label, value string
	bad          bool
}

const headLines = 4

// head returns the lines about the gateway, the most important ones first. In each the most important
// item is the first.
func (p *picture) head() [headLines][]item {
	s := &p.status
	connections := int64(0)
	for _, l := range s.Listeners {
		connections += l.Connections.Used
	}
	requests, busy := "-", "-"
	if p.paces.known {
		requests = perSecond(p.paces.requests)
		busy = fmt.Sprintf("%.0f %% busy, busiest %.0f %%", 100*p.paces.busy, 100*p.paces.busiest)
	}
	about := []item{
		{label: "sluice", value: s.Version},
		{value: s.State + " for " + show.Age(time.Duration(s.UptimeSeconds*float64(time.Second))), bad: s.State != "running"},
	}
	if s.ReadOnly {
		about = append(about, item{value: "read-only"})
	}
	about = append(about, item{label: "process", value: fmt.Sprint(s.PID)}, item{label: s.Config.File})
	loops := []item{}
	if len(s.Loops) > 0 {
		loops = []item{{label: show.Plural(len(s.Loops), "loop"), value: busy}}
	}
	return [headLines][]item{
		about,
		{
			used("sessions", s.Sessions, show.Usage(s.Sessions)),
			{label: "requests/s", value: requests + ", " + fmt.Sprint(s.Requests) + " in work"},
			{label: "connections", value: fmt.Sprintf("%d on %s", connections, show.Plural(len(s.Listeners), "listener"))},
		},
		{
			{label: "from clients", value: p.paces.total.write(p.paces.total.client)},
			{label: "from backends", value: p.paces.total.write(p.paces.total.backend)},
		},
		append([]item{
			used("descriptors", s.Descriptors, share(fmt.Sprint(s.Descriptors.Used), s.Descriptors)),
			used("memory", s.Memory, share(show.Bytes(uint64(s.Memory.Used)), s.Memory)),
		}, loops...),
	}
}

// write writes one of the flows of a pace.
func (p pace) write(f flow) string {
	return p.messagesOf(f).text + " msgs/s, " + p.bytesOf(f).text + "/s"
}

// used is an item about a limit. Nine tenths of it are too much.
func used(label string, u admin.Usage, value string) item {
	return item{label, value, u.Limit > 0 && 10*u.Used >= 9*u.Limit}
}

// share adds to an amount how much of its limit it is, if it has one.
func share(amount string, u admin.Usage) string {
	if u.Limit <= 0 {
		return amount
	}
	return fmt.Sprintf("%s (%.0f %%)", amount, 100*float64(u.Used)/float64(u.Limit))
}

// head draws the lines about the gateway that have room.
func (c *canvas) head(m *model) {
	lines := m.picture.head()
	for y := range m.headHeight() {
		c.items(y, m.width, lines[y], 3)
	}
}

// items draws as many items as there is room for, the first one in any case.
func (c *canvas) items(y, width int, items []item, between int) {
	x := 0
	for i, it := range items {
		if i > 0 {
			x += between
		}
		separator := ""
		if it.label != "" && it.value != "" {
			separator = " "
		}
		if i > 0 && x+show.Width(it.label+separator+it.value) > width {
			return
		}
		style := c.style.Bold(true)
		if it.bad {
			style = c.bad(c.style)
		}
		x += c.text(x, y, width-x, it.label+separator, c.style)
		x += c.text(x, y, width-x, it.value, style)
	}
}
