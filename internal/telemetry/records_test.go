package telemetry

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"sluice/internal/frame"
)

func TestCut(t *testing.T) {
	tests := []struct {
		name, in string
		most     int
		want     string
	}{
		{"nothing", "", 8, ""},
		{"as long as it may be", "12345678", 8, "12345678"},
		{"longer", "123456789", 8, "12345..."},
		{"in front of a character", "1234é6789", 8, "1234..."},
		{"behind a character", "123é6789", 8, "123é..."},
		{"no text", strings.Repeat("\xbf", 20), 8, "\xbf\xbf..."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := cut(tt.in, tt.most)
			if got != tt.want {
				t.Errorf("cut(%q, %d) = %q; want %q", tt.in, tt.most, got, tt.want)
			}
			if again := cut(got, tt.most); again != got {
				t.Errorf("cut again it is %q; want %q", again, got)
			}
		})
	}
}

// Records cut the fields that a client chooses.
func TestRecordsCutWhatIsLong(t *testing.T) {
	long := strings.Repeat("x", 20<<10)
	x := &Exchange{Method: long, Host: long, URI: long}
	for name, log := range map[string]func(*zerolog.Logger){
		"request":        (&Request{Exchange: x}).info,
		"session opened": (&Session{Exchange: x, Subprotocol: long}).opened,
		"session ended":  (&Session{Exchange: x, Subprotocol: long}).ended,
	} {
		var out bytes.Buffer
		l := zerolog.New(&out)
		log(&l)
		if n := out.Len(); n > 2500 {
			t.Errorf("%s: a record of %d bytes; want at most 2500", name, n)
		}
	}
}

func TestRecords(t *testing.T) {
	all := &Exchange{
		ID: "000000000000002a", Route: "chat", Backend: "b", Endpoint: "10.0.0.1:80", Client: netip.MustParseAddr("2001:db8::7"),
		Method: "GET", Host: "a.test", URI: "/x?\"\x01\xff", Proto: "HTTP/1.1",
	}
	common := map[string]any{
		"id": "000000000000002a", "route": "chat", "backend": "b", "endpoint": "10.0.0.1:80", "client": "2001:db8::7",
		"method": "GET", "host": "a.test", "uri": "/x?\"\x01\ufffd", "proto": "HTTP/1.1", "level": "info",
	}
	with := func(more map[string]any) map[string]any {
		m := map[string]any{}
		for k, v := range common {
			m[k] = v
		}
		for k, v := range more {
			m[k] = v
		}
		return m
	}
	tests := []struct {
		name string
		log  func(*zerolog.Logger)
		want map[string]any
	}{
		{"request", (&Request{Exchange: all, Status: 200, In: 5, Out: 1 << 40, Duration: 1500 * time.Microsecond, Error: "backend: refused"}).info, with(map[string]any{
			"message": "request", "status": 200., "bytes_in": 5., "bytes_out": float64(1 << 40), "duration_ms": 1.5, "error": "backend: refused",
		})},
		{"request of which little is known", (&Request{Exchange: &Exchange{}, Status: 400}).info, map[string]any{
			"level": "info", "message": "request", "status": 400., "bytes_in": 0., "bytes_out": 0., "duration_ms": 0.,
		}},
		{"session opened", (&Session{Exchange: all, Number: 255, Subprotocol: "chat.v2", Deflate: true}).opened, with(map[string]any{
			"session": "00000000000000ff", "message": "session opened", "subprotocol": "chat.v2", "compression": true,
		})},
		{"session opened without a subprotocol", (&Session{Exchange: all, Number: 255}).opened, with(map[string]any{
			"session": "00000000000000ff", "message": "session opened", "compression": false,
		})},
		{"session ended", (&Session{
			Exchange: all, Number: 255, Subprotocol: "chat.v2", Duration: time.Hour,
			FromClient:  frame.Counts{Messages: 1, Frames: 2, Controls: 3, Bytes: 4},
			FromBackend: frame.Counts{Messages: 5, Frames: 6, Controls: 7, Bytes: 8},
			Code:        1000, Reason: "bye", EndedBy: "client", Cause: "close", Detail: "all is said",
		}).ended, with(map[string]any{
			"session": "00000000000000ff", "message": "session ended", "subprotocol": "chat.v2", "compression": false, "duration_ms": 3600000.,
			"client_messages": 1., "client_frames": 2., "client_controls": 3., "client_bytes": 4.,
			"backend_messages": 5., "backend_frames": 6., "backend_controls": 7., "backend_bytes": 8.,
			"close_code": 1000., "close_reason": "bye", "ended_by": "client", "cause": "close", "detail": "all is said",
		})},
		{"session ended in silence", (&Session{Exchange: all, Number: 255, Code: 1005, EndedBy: "backend", Cause: "backend lost"}).ended, with(map[string]any{
			"session": "00000000000000ff", "message": "session ended", "compression": false, "duration_ms": 0.,
			"client_messages": 0., "client_frames": 0., "client_controls": 0., "client_bytes": 0.,
			"backend_messages": 0., "backend_frames": 0., "backend_controls": 0., "backend_bytes": 0.,
			"close_code": 1005., "ended_by": "backend", "cause": "backend lost",
		})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			l := zerolog.New(&out)
			tt.log(&l)
			if n := strings.Count(out.String(), "\n"); n != 1 {
				t.Errorf("%d lines; want 1: %q", n, &out)
			}
			var got map[string]any
			if err := json.Unmarshal(out.Bytes(), &got); err != nil {
				t.Fatalf("%v in %q", err, &out)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("logged %v\nwant   %v", got, tt.want)
			}
		})
	}
}

func BenchmarkLogEnded(b *testing.B) {
	l := zerolog.New(discard{})
	s := &Session{Exchange: &Exchange{Route: "chat", Backend: "b", Method: "GET", Host: "a.test", URI: "/ws"}, Code: 1000, EndedBy: "client", Cause: "close"}
	b.ReportAllocs()
	for b.Loop() {
		s.ended(&l)
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// info logs the record at the level of most records.
func (s *Session) opened(l *zerolog.Logger) { s.LogOpened(l.Info()) }
func (s *Session) ended(l *zerolog.Logger)  { s.LogEnded(l.Info()) }

func (r *Request) info(l *zerolog.Logger) { r.Log(l.Info()) }
