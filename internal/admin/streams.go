package admin

import (
	"encoding/json"
	"errors"
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

// tapInterval is how often a tap is read.
const tapInterval = 50 * time.Millisecond

// tapNote is a line of a tap that is no frame.
type tapNote struct {
	Lost uint64 `json:"lost,omitempty"`
	Over bool   `json:"over,omitempty"`
}

// tap streams the frames of a session as lines of JSON.
func (s *Server) tap(c *call) (any, error) {
	if _, err := c.named(); err != nil {
		return nil, err
	}
	name := c.r.PathValue("session")
	t, err := s.gateway.Tap(name)
	switch {
	case errors.Is(err, ErrUnknown):
		return nil, noSession(c)
	case err != nil:
		return nil, &failure{http.StatusConflict, err.Error()}
	}
	defer t.Close()
	s.gateway.Audit(Action{c.who, "tap", name, -1, nil})
	out := c.lasting("application/x-ndjson", 0)
	out.next()
	lines := json.NewEncoder(c.w)
	look := time.NewTicker(tapInterval)
	defer look.Stop()
	var frames []Frame
	for {
		select {
		case <-c.r.Context().Done():
			return nil, nil
		case <-look.C:
		}
		var lost uint64
		var over bool
		frames, lost, over = t.Read(frames[:0])
		out.SetWriteDeadline(time.Now().Add(streamTimeout))
		for i := range frames {
			err = errors.Join(err, lines.Encode(&frames[i]))
		}
		if lost > 0 || over {
			err = errors.Join(err, lines.Encode(tapNote{lost, over}))
		}
		if over || err != nil || (len(frames) > 0 || lost > 0) && out.Flush() != nil {
			return nil, nil
		}
	}
}
