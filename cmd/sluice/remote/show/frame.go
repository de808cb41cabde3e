package show

import (
	"fmt"
	"strconv"

	"sluice/internal/admin"
)

// Frame writes a frame of a tap in one line.
func Frame(f *admin.Frame) string {
	more := ""
	if !f.Fin {
		more = ", more follows"
	}
	if f.Compressed {
		more += ", compressed"
	}
	return Line(fmt.Sprintf("%s %-7s -> %-7s %-12s %s%s%s", f.Time.Local().Format("15:04:05.000"), f.From, f.To, f.Op, Plural(f.Length, "byte"), more, payload(&f.Payload)))
}

// payload writes what is shown of a payload. A text is quoted, so that its lines stay one.
func payload(p *admin.Payload) string {
	if *p == (admin.Payload{}) {
		return ""
	}
	s := ":"
	if p.Code != 0 {
		s += fmt.Sprintf(" %d", p.Code)
	}
	if text := p.Text + p.Reason; text != "" {
		s += " " + strconv.Quote(text)
	}
	if p.Hex != "" {
		s += " hex " + p.Hex
	}
	if p.Cut {
		s += " ..."
	}
	if p.Note != "" {
		s += " (" + p.Note + ")"
	}
	return s
}
