package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

func TestChat(t *testing.T) {
	address, _ := serve(t)
	ada := dial(t, address, "/ws/chat?room=tea&name=Ada")
	wantEvent(t, ada, event{Kind: "welcome", Room: "tea", Name: "Ada"})
	wantEvent(t, ada, event{Kind: "join", Room: "tea", Name: "Ada", Members: []string{"Ada"}})

	other := dial(t, address, "/ws/chat?room=tea&name=Ada")
	wantEvent(t, other, event{Kind: "welcome", Room: "tea", Name: "Ada 2"})
	joined := event{Kind: "join", Room: "tea", Name: "Ada 2", Members: []string{"Ada", "Ada 2"}}
	wantEvent(t, other, joined)
	wantEvent(t, ada, joined)

	elsewhere := dial(t, address, "/ws/chat?room=coffee")
	wantEvent(t, elsewhere, event{Kind: "welcome", Room: "coffee", Name: "guest"})
	wantEvent(t, elsewhere, event{Kind: "join", Room: "coffee", Name: "guest", Members: []string{"guest"}})

	send(t, other, masked(ws.OpText, true, "milk?"))
	said := event{Kind: "say", Room: "tea", Name: "Ada 2", Text: "milk?"}
	wantEvent(t, ada, said)
	wantEvent(t, other, said)

	send(t, other, masked(ws.OpClose, true, "\x03\xe8bye"))
	wantClose(t, other, ws.StatusNormalClosure, "bye")
	wantEvent(t, ada, event{Kind: "leave", Room: "tea", Name: "Ada 2", Members: []string{"Ada"}})
}

func TestChatEndsWhatItDoesNotTake(t *testing.T) {
	address, _ := serve(t)
	tests := []struct {
		name   string
		in     []ws.Frame
		code   ws.StatusCode
		reason string
	}{
		{"binary", []ws.Frame{masked(ws.OpBinary, true, "x")}, ws.StatusUnsupportedData, "the chat takes text only"},
		{"long message", []ws.Frame{masked(ws.OpText, true, strings.Repeat("x", maxSay+1))}, ws.StatusMessageTooBig, "message too large"},
		{"close reason that is not UTF-8", []ws.Frame{masked(ws.OpClose, true, "\x03\xe8\xff")}, ws.StatusProtocolError, "malformed Close frame"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn := dial(t, address, "/ws/chat?room="+strings.ReplaceAll(tt.name, " ", "+"))
			read(t, conn) // welcome
			read(t, conn) // join
			send(t, conn, tt.in...)
			wantClose(t, conn, tt.code, tt.reason)
		})
	}
}

func TestChatEndsAFlood(t *testing.T) {
	address, _ := serve(t)
	conn := dial(t, address, "/ws/chat")
	// Enough that some second gets too many of them, however slow the machine.
	flood := make([]ws.Frame, 0, 10*maxPerSecond)
	for range cap(flood) {
		flood = append(flood, masked(ws.OpText, true, "spam"))
	}
	send(t, conn, flood...)
	for {
		if f := read(t, conn); f.Header.OpCode == ws.OpClose {
			if code, reason := ws.ParseCloseFrameData(f.Payload); code != ws.StatusPolicyViolation || reason != "too many messages" {
				t.Errorf("close %d %q, want 1008 %q", code, reason, "too many messages")
			}
			return
		}
	}
}

func TestHubLimits(t *testing.T) {
	ignore := func(error) {}
	tests := []struct {
		name  string
		fill  func(h *hub)
		room  string
		fails string
	}{
		{name: "a full room", room: "r", fails: "the room is full", fill: func(h *hub) {
			for range maxMembers {
				h.join("r", "m", ignore)
			}
		}},
		{name: "another room than the full one", room: "s", fill: func(h *hub) {
			for range maxMembers {
				h.join("r", "m", ignore)
			}
		}},
		{name: "too many rooms", room: "r", fails: "no room is free", fill: func(h *hub) {
			for i := range maxRooms {
				h.join(fmt.Sprint(i), "m", ignore)
			}
		}},
		{name: "a room that exists among too many", room: "0", fill: func(h *hub) {
			for i := range maxRooms {
				h.join(fmt.Sprint(i), "m", ignore)
			}
		}},
		{name: "a room freed by its last member", room: "r", fill: func(h *hub) {
			for i := range maxRooms {
				m, _ := h.join(fmt.Sprint(i), "m", ignore)
				defer h.leave(m)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHub()
			tt.fill(h)
			_, err := h.join(tt.room, "late", ignore)
			if err == nil && tt.fails != "" || err != nil && err.Error() != tt.fails {
				t.Errorf("join(%q) = %v, want %q", tt.room, err, tt.fails)
			}
		})
	}
}

func TestHubDropsAMemberThatDoesNotRead(t *testing.T) {
	h := newHub()
	ctx, drop := context.WithCancelCause(t.Context())
	if _, err := h.join("r", "slow", drop); err != nil {
		t.Fatal(err)
	}
	quick, err := h.join("r", "quick", func(err error) { t.Errorf("quick was dropped: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	for range queueLength {
		h.say(quick, "x")
		for len(quick.queue) > 0 {
			<-quick.queue
		}
	}
	var e ending
	if !errors.As(context.Cause(ctx), &e) || e.code != ws.StatusPolicyViolation {
		t.Errorf("slow ended with %v, want 1008", context.Cause(ctx))
	}
}

func TestTidy(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", "Ada", "Ada"},
		{"spaces around", "  Ada Lovelace ", "Ada Lovelace"},
		{"empty", "", "guest"},
		{"only spaces", "   ", "guest"},
		{"control characters", "A\x00d\na\x1b", "Ada"},
		{"text direction override", "A\u202eda", "Ada"},
		{"not UTF-8", "A\xffda", "Ada"},
		{"long", strings.Repeat("é", 40), strings.Repeat("é", maxName)},
		{"cut before a space", strings.Repeat("x", maxName-1) + " yy", strings.Repeat("x", maxName-1)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tidy(tt.in, "guest"); got != tt.want {
				t.Errorf("tidy(%q) = %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}
