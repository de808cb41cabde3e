package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Tap shows the frames of one session. It is for one goroutine.
type Tap interface {
	// Read appends the frames that have gone by since the last call to to, and returns how many
	// it has missed. The error is [ErrOver] if the session has ended, and says else why the tap has.
	Read(to []Frame) (frames []Frame, lost uint64, err error)
	Close()
}

// ErrOver is returned when a session that is tapped has ended.
var ErrOver = errors.New("the session has ended")

// ErrBusy is returned where somebody else has what only one may have.
var ErrBusy = errors.New("somebody else taps this session")

// ErrForbidden is returned for what the configuration forbids. What wraps it says what that is.
var ErrForbidden = errors.New("the configuration forbids it")

// TapOptions say what of a session a tap shows. The zero value is the headers of all frames.
type TapOptions struct {
	Payload bool     // payloads too, as far as the route allows it
	Sample  int      // of each side, one of so many data frames is shown; less than 2 means all
	Ops     []string // the kinds of frames that are shown, as in Frame.Op; nil means all
}

// Frame is a frame of a session that is tapped.
type Frame struct {
	Time       time.Time `json:"time" doc:"When it was passed on, or its beginning was."`
	From       string    `json:"from" doc:"client, backend, or gateway for its own pings and Close frames."`
	To         string    `json:"to" doc:"client or backend."`
	Op         string    `json:"op" doc:"text, binary, continuation, ping, pong or close."`
	Fin        bool      `json:"fin" doc:"Whether it is the last frame of its message."`
	Compressed bool      `json:"compressed" doc:"Whether its message is compressed (permessage-deflate); false if the beginning of the message was missed."`
	Length     int64     `json:"length" doc:"Bytes of its payload, as it is on the wire."`

	Payload
}

// Payload is what a tap shows of the payload of a frame. Of a payload that is empty, and where payloads
// are not shown, it is empty.
type Payload struct {
	Text   string `json:"text,omitempty" doc:"Its payload, if it is one of text."`
	Hex    string `json:"hex,omitempty" doc:"Its payload in hexadecimal, if it is no text."`
	Cut    bool   `json:"cut,omitempty" doc:"There is more of its payload than is shown."`
	Code   int    `json:"code,omitempty" doc:"Code of a Close frame."`
	Reason string `json:"reason,omitempty" doc:"Reason of a Close frame."`
	Note   string `json:"note,omitempty" doc:"How the payload is shown: 'inflated', or why it is shown as it is on the wire."`
}

// FrameOps returns the kinds of frames.
func FrameOps() []string { return []string{"text", "binary", "continuation", "ping", "pong", "close"} }

// maxSample is the largest sample of frames.
const maxSample = 1_000_000

// TapParameters returns the parameters of a tap, for endpoints and for commands.
func TapParameters() []Parameter {
	return []Parameter{
		{"payload", "boolean", "Show payloads too. The route has to allow it with its key tap."},
		{"sample", "integer", "Show one of so many data frames of each side, up to 1000000, and all control frames. Default: 1."},
		{"op", "string", "Kinds of frames to show, with commas between: " + strings.Join(FrameOps(), ", ") + ". Default: all."},
	}
}

// tap reads what a tap is to show.
func (q query) tap() (o TapOptions, err error) {
	if o.Payload, err = q.flag("payload"); err != nil {
		return o, wrong(err)
	}
	if text, ok := q["sample"]; ok {
		if o.Sample, err = strconv.Atoi(text); err != nil || o.Sample < 1 || o.Sample > maxSample {
			return o, wrong(fmt.Errorf("sample %q is not a whole number from 1 to %d", shorten(text), maxSample))
		}
	}
	if text, ok := q["op"]; ok {
		o.Ops = strings.Split(text, ",")
		for _, op := range o.Ops {
			if !slices.Contains(FrameOps(), op) {
				return o, wrong(fmt.Errorf("op %q is not a kind of frame: %s", shorten(op), strings.Join(FrameOps(), ", ")))
			}
		}
	}
	return o, nil
}

// action is what a tap is called in the log.
func (o *TapOptions) action() string {
	if o.Payload {
		return "tap payloads"
	}
	return "tap"
}

// tapInterval is how often a tap is read.
const tapInterval = 50 * time.Millisecond

// TapNote is a line of a tap that is no frame.
type TapNote struct {
	Lost    uint64 `json:"lost,omitempty"`    // frames that a slow reader has missed
	Over    bool   `json:"over,omitempty"`    // the session has ended
	Stopped string `json:"stopped,omitempty"` // why the tap has ended before
}

// tapFailure returns the answer to a tap that cannot be.
func tapFailure(c *call, err error) error {
	switch _, told := errors.AsType[*failure](err); {
	case told:
		return err
	case errors.Is(err, ErrUnknown):
		return noSession(c)
	case errors.Is(err, ErrForbidden):
		return &failure{http.StatusForbidden, err.Error()}
	}
	return &failure{http.StatusConflict, err.Error()}
}

// tapPatience is how long a tap waits for another one of its session to end: who has just left one may
// come back at once.
const tapPatience = 3 * time.Second

// openTap opens a tap. Where somebody else taps the session, it waits a moment.
func (s *Server) openTap(ctx context.Context, session string, o TapOptions) (Tap, error) {
	ctx, cancel := context.WithTimeout(ctx, tapPatience)
	defer cancel()
	again := time.NewTicker(tapInterval)
	defer again.Stop()
	for {
		t, err := s.gateway.Tap(session, o)
		if !errors.Is(err, ErrBusy) {
			return t, err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, err
		}
	}
}

// tap streams the frames of a session as lines of JSON.
func (s *Server) tap(c *call) (any, error) {
	if _, err := c.named(); err != nil {
		return nil, err
	}
	o, err := c.query.tap()
	name := c.r.PathValue("session")
	var t Tap
	if err == nil {
		t, err = s.openTap(c.r.Context(), name, o)
	}
	if err == nil || o.Payload {
		s.gateway.Audit(Action{c.who, o.action(), name, -1, err})
	}
	if err != nil {
		return nil, tapFailure(c, err)
	}
	defer t.Close()
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
		note := TapNote{}
		var end error
		frames, note.Lost, end = t.Read(frames[:0])
		if note.Over = errors.Is(end, ErrOver); end != nil && !note.Over {
			note.Stopped = end.Error()
			s.gateway.Audit(Action{c.who, o.action(), name, -1, end})
		}
		out.SetWriteDeadline(time.Now().Add(streamTimeout))
		err = nil
		for i := range frames {
			err = errors.Join(err, lines.Encode(&frames[i]))
		}
		clear(frames) // no payload stays longer than it takes
		if note != (TapNote{}) {
			err = errors.Join(err, lines.Encode(note))
		}
		if end != nil || err != nil || (len(frames) > 0 || note.Lost > 0) && out.Flush() != nil {
			return nil, nil
		}
	}
}
