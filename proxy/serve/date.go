package serve

import (
	"net/http"
	"sync/atomic"
	"time"
)

// date is the value of a Date field (RFC 9110, section 6.6.1), made once a second.
type date struct{ last atomic.Pointer[dated] }

type dated struct {
	second int64 // of the Unix epoch
	text   string
}

func (d *date) now() string {
	now := time.Now()
	last := d.last.Load()
	if last == nil || last.second != now.Unix() {
		last = &dated{now.Unix(), now.UTC().Format(http.TimeFormat)}
		d.last.Store(last)
	}
	return last.text
}
