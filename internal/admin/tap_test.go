package admin

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// tapGateway is a gateway with a session that can be tapped.
type tapGateway struct {
	fakeGateway
	err   error // why it cannot be
	reads []tapRead
	asked TapOptions
}

// tapRead is what a Read of a tap returns.
type tapRead struct {
	frames []Frame
	lost   uint64
	err    error
}

func (g *tapGateway) Tap(_ string, o TapOptions) (Tap, error) {
	g.asked = o
	return &fakeTap{g.reads}, g.err
}

type fakeTap struct{ reads []tapRead }

func (t *fakeTap) Read(to []Frame) ([]Frame, uint64, error) {
	r := t.reads[0]
	t.reads = t.reads[1:]
	return append(to, r.frames...), r.lost, r.err
}

func (*fakeTap) Close() {}

func TestTap(t *testing.T) {
	forbidden := fmt.Errorf("not of the route chat: %w", ErrForbidden)
	taken := errors.New("somebody else")
	shown := Frame{From: "client", Op: "text", Length: 5, Payload: Payload{Text: "hello", Cut: true}}
	over := []tapRead{{}, {frames: []Frame{shown}}, {lost: 3, err: ErrOver}}
	tests := []struct {
		name, query string
		err         error
		reads       []tapRead
		asked       TapOptions
		status      int
		want        []string // in the answer
		action      string   // that is logged
		stopped     error    // that is logged when it ends
	}{
		{name: "of headers", reads: over, status: 200, want: []string{`"op":"text"`, "\n{\"lost\":3,\"over\":true}\n"}, action: "tap"},
		{name: "of payloads", query: "?payload=true", reads: over, asked: TapOptions{Payload: true}, status: 200, want: []string{`"text":"hello","cut":true}`}, action: "tap payloads"},
		{name: "of some frames", query: "?payload=false&sample=10&op=close,continuation", reads: over, asked: TapOptions{Sample: 10, Ops: []string{"close", "continuation"}}, status: 200, action: "tap"},
		{name: "that ends before its session", query: "?payload=true", reads: []tapRead{{err: forbidden}}, asked: TapOptions{Payload: true}, status: 200, want: []string{`{"stopped":"not of the route chat: `}, action: "tap payloads", stopped: forbidden},
		{name: "that is forbidden", query: "?payload=true", err: forbidden, asked: TapOptions{Payload: true}, status: 403, want: []string{"not of the route chat"}, action: "tap payloads"},
		{name: "of a session that has one", err: taken, status: 409, want: []string{"somebody else"}},
		{name: "of payloads of a session that has one", query: "?payload=true", err: taken, asked: TapOptions{Payload: true}, status: 409, want: []string{"somebody else"}, action: "tap payloads"},
		{name: "of payloads of no session", query: "?payload=true", err: ErrUnknown, asked: TapOptions{Payload: true}, status: 404, action: "tap payloads"},
		{name: "of no session", err: ErrUnknown, status: 404},
		{name: "of payloads or not", query: "?payload=yes", status: 400, want: []string{`neither true nor false`}},
		{name: "of no sample", query: "?sample=0", status: 400, want: []string{`1 to 1000000`}},
		{name: "of a sample that is too large", query: "?sample=1000001", status: 400, want: []string{`1 to 1000000`}},
		{name: "of frames that do not exist", query: "?op=text,tex", status: 400, want: []string{`op \"tex\" is not a kind of frame: text, binary, continuation, ping, pong, close`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := &tapGateway{err: tt.err, reads: tt.reads}
			r, body := ask(t, "unix", newSocketServer(t, g), request("GET", "/sessions/00000000000000a1/tap"+tt.query))
			if r.StatusCode != tt.status || !reflect.DeepEqual(g.asked, tt.asked) {
				t.Errorf("%d %s, asked for %+v; want %d and %+v", r.StatusCode, body, g.asked, tt.status, tt.asked)
			}
			for _, want := range tt.want {
				if !strings.Contains(body, want) {
					t.Errorf("%s; want %s in it", body, want)
				}
			}
			actions := g.audited()
			if tt.action == "" && len(actions) == 0 {
				return
			}
			if tt.stopped != nil {
				if len(actions) != 2 || actions[1].What != tt.action || !errors.Is(actions[1].Err, tt.stopped) {
					t.Fatalf("%+v was logged; want one more %q with the error %v", actions, tt.action, tt.stopped)
				}
				actions = actions[:1]
			}
			if len(actions) != 1 || actions[0].What != tt.action || actions[0].Target != "00000000000000a1" || !errors.Is(actions[0].Err, tt.err) {
				t.Errorf("%+v was logged; want one %q with the error %v", actions, tt.action, tt.err)
			}
		})
	}
}
