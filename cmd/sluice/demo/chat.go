package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/gobwas/ws"
)

const (
	maxRooms     = 64
	maxMembers   = 32   // of a room
	maxName      = 24   // characters of the name of a member or a room
	maxSay       = 1024 // bytes of a message
	maxPerSecond = 10   // messages of a member
	queueLength  = 64   // messages that wait until a member reads

	tryAgainLater = ws.StatusCode(1013) // registered with IANA after RFC 6455
)

// hub holds the rooms of the chat. A room exists while it has members.
type hub struct {
	mu    sync.Mutex
	rooms map[string]map[string]*member // by room, by name
}

// member is one person in one room.
type member struct {
	room, name string
	queue      chan []byte // compiled frames to write; closed by leave
	drop       context.CancelCauseFunc
}

// event is sent to members, as JSON.
type event struct {
	Kind    string   `json:"kind"` // welcome, join, leave or say
	Room    string   `json:"room"`
	Name    string   `json:"name"` // the member that joins, leaves or says; in a welcome, the receiver
	Text    string   `json:"text,omitempty"`
	Members []string `json:"members,omitempty"` // all, after a join or leave
}

func newHub() *hub {
	return &hub{rooms: make(map[string]map[string]*member)}
}

// chat puts the client into the room that the query names, under the name that it
// asks for. Each text message of the client is said in the room. The client gets
// an event for all that happens there.
func (h *hub) chat(w http.ResponseWriter, r *http.Request) {
	ctx, drop := context.WithCancelCause(r.Context())
	defer drop(nil)
	s, ok := open(ctx, w, r, maxSay)
	if !ok {
		return
	}
	query := r.URL.Query()
	m, err := h.join(tidy(query.Get("room"), "lobby"), tidy(query.Get("name"), "guest"), drop)
	if err != nil {
		s.finish(err)
		return
	}
	var writer sync.WaitGroup
	writer.Go(func() {
		for frame := range m.queue {
			if err := s.writeCompiled(frame); err != nil {
				drop(err)
				return
			}
		}
	})
	err = h.listen(s, m)
	h.leave(m)
	writer.Wait()
	s.finish(err)
}

// listen says each message of m in its room. It returns why the session ends.
func (h *hub) listen(s *socket, m *member) error {
	for second, count := time.Now(), 0; ; {
		op, text, err := s.next()
		if err != nil {
			return err
		}
		if op != ws.OpText {
			return ending{ws.StatusUnsupportedData, "the chat takes text only"}
		}
		if now := time.Now(); now.Sub(second) >= time.Second {
			second, count = now, 0
		}
		if count++; count > maxPerSecond {
			return ending{ws.StatusPolicyViolation, "too many messages"}
		}
		h.say(m, string(text))
	}
}

// join makes a member, under a name that is free in the room, and tells the room.
// It calls drop with an ending if the member reads too slowly.
func (h *hub) join(room, name string, drop context.CancelCauseFunc) (*member, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	members := h.rooms[room]
	if members == nil {
		if len(h.rooms) == maxRooms {
			return nil, ending{tryAgainLater, "no room is free"}
		}
		members = make(map[string]*member)
		h.rooms[room] = members
	}
	if len(members) == maxMembers {
		return nil, ending{tryAgainLater, "the room is full"}
	}
	m := &member{room: room, name: name, queue: make(chan []byte, queueLength), drop: drop}
	for n := 2; members[m.name] != nil; n++ {
		m.name = fmt.Sprintf("%s %d", name, n)
	}
	members[m.name] = m
	m.put(compile(event{Kind: "welcome", Room: room, Name: m.name}))
	h.tell(room, event{Kind: "join", Name: m.name, Members: names(members)})
	return m, nil
}

// leave removes m from its room, tells the room, and closes m's queue.
func (h *hub) leave(m *member) {
	h.mu.Lock()
	defer h.mu.Unlock()
	members := h.rooms[m.room]
	delete(members, m.name)
	close(m.queue)
	if len(members) == 0 {
		delete(h.rooms, m.room)
		return
	}
	h.tell(m.room, event{Kind: "leave", Name: m.name, Members: names(members)})
}

func (h *hub) say(m *member, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tell(m.room, event{Kind: "say", Name: m.name, Text: text})
}

// tell sends e to every member of the room. The caller holds h.mu.
func (h *hub) tell(room string, e event) {
	e.Room = room
	frame := compile(e)
	for _, m := range h.rooms[room] {
		m.put(frame)
	}
}

// put queues a frame for m. When the queue is full, it drops m: a slow reader must
// not make the room wait, nor take memory without a bound.
func (m *member) put(frame []byte) {
	select {
	case m.queue <- frame:
	default:
		m.drop(ending{ws.StatusPolicyViolation, "reading too slowly"})
	}
}

// compile returns e as a frame in bytes.
func compile(e event) []byte {
	text, err := json.Marshal(e)
	if err != nil {
		panic(err) // it cannot fail: an event holds only strings
	}
	return ws.MustCompileFrame(ws.NewTextFrame(text))
}

func names(members map[string]*member) []string {
	return slices.Sorted(maps.Keys(members))
}

// tidy returns name in a form that is safe to show: printable, at most maxName
// characters, and not empty: else it is otherwise.
func tidy(name, otherwise string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return -1
	}, name)
	runes := []rune(strings.TrimSpace(name))
	if len(runes) == 0 {
		return otherwise
	}
	return strings.TrimSpace(string(runes[:min(maxName, len(runes))]))
}
