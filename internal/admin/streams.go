package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// heartbeat is how often a stream says that it is alive.
const heartbeat = 15 * time.Second

// events streams the records of the log as server-sent events (the HTML standard, section 9.2): the
// name of an event is the message of its record up to a colon.
func (s *Server) events(c *call) (any, error) {
	var names []string
	if text, ok := c.query["name"]; ok {
		names = strings.Split(text, ",")
	}
	w, stop := s.gateway.Watch()
	if w == nil {
		return nil, &failure{http.StatusServiceUnavailable, "too many watch the events already"}
	}
	defer stop()
	out := c.lasting("text/event-stream", 0)
	out.next() // the reader knows at once that it is heard
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case <-c.r.Context().Done():
			return nil, nil
		case <-beat.C:
			_, err = c.w.Write([]byte(":\n\n"))
		case record := <-w.Records():
			if name := eventName(record); names == nil || slices.Contains(names, name) {
				_, err = fmt.Fprintf(c.w, "event: %s\ndata: %s\n\n", name, strings.TrimSuffix(string(record), "\n"))
			}
			if lost := w.Lost(); lost > 0 && err == nil {
				_, err = fmt.Fprintf(c.w, "event: lost\ndata: {\"records\":%d}\n\n", lost)
			}
		}
		if err != nil || out.next() != nil {
			return nil, nil
		}
	}
}

// eventName returns the name of a record.
func eventName(record []byte) string {
	var r struct{ Message string }
	json.Unmarshal(record, &r) // what is no record has no name
	name, _, _ := strings.Cut(r.Message, ":")
	return strings.Map(func(c rune) rune {
		if c < ' ' {
			return ' '
		}
		return c
	}, name)
}
