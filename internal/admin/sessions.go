package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const defaultLimit = 1000 // sessions in a list

// sessions lists the sessions that match.
func (s *Server) sessions(c *call) (any, error) {
	now := time.Now()
	f, err := newFilter(c.query, now)
	if err != nil {
		return nil, wrong(err)
	}
	limit := defaultLimit
	if text, ok := c.query["limit"]; ok {
		if limit, err = strconv.Atoi(text); err != nil || limit < 0 {
			return nil, wrong(fmt.Errorf("limit %q is not a whole number from 0 on", shorten(text)))
		}
	}
	var first []Session // in the order that is asked for
	text, sorted := c.query["sort"]
	if sorted {
		order, err := newOrder(text, now)
		if err != nil {
			return nil, wrong(err)
		}
		first = s.firstSessions(f, order, limit)
	}
	c.w.Header().Set("Content-Type", jsonType)
	list := sessionList{w: c.w, control: http.NewResponseController(c.w), end: time.Now().Add(listTimeout)}
	if sorted {
		for i := range first {
			if list.add(&first[i]) != nil {
				break
			}
		}
	} else {
		s.gateway.EachSession(f.match, func(v *Session) bool { return list.add(v) == nil && list.n != limit })
	}
	list.close()
	return nil, nil
}

// firstSessions returns the sessions that are the first ones in an order: limit at most, or all for
// 0. It holds no more than twice as many.
func (s *Server) firstSessions(f *filter, order func(a, b *Session) int, limit int) []Session {
	var all []Session
	full := false // limit sessions are there, in order, in front
	keep := func() {
		slices.SortStableFunc(all, func(a, b Session) int { return order(&a, &b) })
		if full = limit > 0 && len(all) >= limit; full {
			clear(all[limit:])
			all = all[:limit]
		}
	}
	s.gateway.EachSession(f.match, func(v *Session) bool {
		if full && order(v, &all[limit-1]) >= 0 {
			return true
		}
		if all = append(all, *v); limit > 0 && len(all)/2 >= limit {
			keep()
		}
		return true
	})
	keep()
	return all
}

// sessionList writes a list of sessions as JSON while it comes into being, so that one of any length
// needs little memory.
type sessionList struct {
	w       io.Writer
	control *http.ResponseController
	end     time.Time // of all writing
	n       int       // sessions that were added
	buf     []byte    // that is not written yet

	opened, last timeText
}

const (
	listBuffer  = 32 << 10         // bytes of a list that are written at once: each piece has writeTimeout
	listTimeout = 10 * time.Minute // for all pieces
)

// add adds a session.
func (l *sessionList) add(s *Session) (err error) {
	if l.n++; l.n == 1 {
		l.buf = append(l.buf, '[')
	} else {
		l.buf = append(l.buf, ",\n"...)
	}
	if l.buf = s.appendJSON(l.buf, &l.opened, &l.last); len(l.buf) >= listBuffer {
		err = l.write()
	}
	return err
}

// write writes what was added.
func (l *sessionList) write() error {
	until := time.Now().Add(writeTimeout)
	if until.After(l.end) {
		until = l.end
	}
	_ = l.control.SetWriteDeadline(until) // fails only where there are no deadlines
	_, err := l.w.Write(l.buf)
	l.buf = l.buf[:0]
	return err
}

// close writes the end of the list.
func (l *sessionList) close() {
	if l.n == 0 {
		l.buf = append(l.buf, '[')
	}
	l.buf = append(l.buf, "]\n"...)
	_ = l.write() // there is nobody else to tell
}

// appendJSON appends the session as encoding/json would write it, at a fraction of the cost: lists
// can have any number of them.
func (s *Session) appendJSON(b []byte, opened, last *timeText) []byte {
	b = appendText(b, `{"session":`, s.Session)
	b = appendText(b, `,"request_id":`, s.RequestID)
	b = appendText(b, `,"route":`, s.Route)
	b = appendText(b, `,"backend":`, s.Backend)
	b = appendText(b, `,"endpoint":`, s.Endpoint)
	b = appendText(b, `,"client":`, s.Client)
	b = appendText(b, `,"host":`, s.Host)
	b = appendText(b, `,"uri":`, s.URI)
	if s.Subprotocol != "" {
		b = appendText(b, `,"subprotocol":`, s.Subprotocol)
	}
	b = strconv.AppendBool(append(b, `,"compression":`...), s.Compression)
	b = appendText(b, `,"tap":`, s.Tap)
	b = opened.append(append(b, `,"opened":"`...), s.Opened)
	b = last.append(append(b, `","last":"`...), s.Last)
	b = s.FromClient.appendJSON(append(b, `","from_client":`...))
	b = s.FromBackend.appendJSON(append(b, `,"from_backend":`...))
	if s.Ending != "" {
		b = appendText(b, `,"ending":`, s.Ending)
	}
	return append(b, '}')
}

// appendJSON is [Session.appendJSON] for a side.
func (t *Traffic) appendJSON(b []byte) []byte {
	b = strconv.AppendUint(append(b, `{"messages":`...), t.Messages, 10)
	b = strconv.AppendUint(append(b, `,"frames":`...), t.Frames, 10)
	b = strconv.AppendUint(append(b, `,"controls":`...), t.Controls, 10)
	b = strconv.AppendUint(append(b, `,"bytes":`...), t.Bytes, 10)
	return append(b, '}')
}

// plain says which bytes stand for themselves in a string of JSON and in a page. Nothing changes it.
var plain = func() (all [256]bool) {
	for c := byte(' '); c < 0x7f; c++ {
		all[c] = !strings.ContainsRune(`"\<>&`, rune(c))
	}
	return all
}()

// appendText appends a name and a string.
func appendText(b []byte, name, value string) []byte {
	b = append(b, name...)
	for i := range len(value) {
		if !plain[value[i]] {
			quoted, _ := json.Marshal(value) // a string always can be
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, value...)
	return append(b, '"')
}

// timeText writes times of this process, whose year has four digits, as [time.Time.AppendText] does.
// It keeps the text of the last second: times of one second differ by their fraction alone.
type timeText struct {
	second int64 // since 1970
	zone   *time.Location
	whole  []byte // the time without its fraction, which stands before the zone
}

// append appends t to b.
func (x *timeText) append(b []byte, t time.Time) []byte {
	if second, zone := t.Unix(), t.Location(); second != x.second || zone != x.zone {
		x.second, x.zone = second, zone
		x.whole = t.AppendFormat(x.whole[:0], time.RFC3339)
	}
	const fraction = len("2006-01-02T15:04:05")
	b = append(b, x.whole[:fraction]...)
	if rest := t.Nanosecond(); rest > 0 {
		b = append(b, '.')
		for unit := int(time.Second / 10); rest > 0; unit /= 10 {
			b = append(b, byte('0'+rest/unit))
			rest %= unit
		}
	}
	return append(b, x.whole[fraction:]...)
}
