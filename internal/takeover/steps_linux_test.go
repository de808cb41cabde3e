package takeover

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// Six sessions move two by two, and the new process refuses number 3.
var six = part{Sessions: 6, PerBatch: 2, Padding: 100, Refuse: []int{3}, Step: time.Minute}

// steps are all steps of either side at which something may happen to it: whose the
// sessions are when the old process is killed, when the new one is, and when the side
// that has reached the step hangs until the other one gives up.
var steps = []struct {
	step                       string
	listening                  bool // the new process gets the listener
	oldKilled, newKilled, hung string
}{
	{"old start", false, "xxxxxx", "oooooo", "oooooo"},
	{"new prepare", false, "xxxxxx", "oooooo", "oooooo"},
	{"old state", false, "xxxxxx", "oooooo", "oooooo"},
	{"new listen", true, "xxxxxx", "oooooo", "oooooo"},
	{"old opened", true, "xxxxxx", "oooooo", "oooooo"},
	{"old next 1", true, "xxxxxx", "oooooo", "oooooo"},
	{"old stopped 1", true, "xxxxxx", "oooooo", "oooooo"},
	{"new have 1", true, "xxxxxx", "oooooo", "oooooo"},
	{"old settled 1", true, "nnxxxx", "xxoooo", "nnoooo"},
	{"new settled 1", true, "nnxxxx", "xxoooo", "nnoooo"},
	{"old next 2", true, "nnxxxx", "xxoooo", "nnoooo"},
	{"old stopped 2", true, "nnxxxx", "xxoooo", "nnoooo"},
	{"new have 2", true, "nnxxxx", "xxoooo", "nnoooo"},
	{"old settled 2", true, "nnnxxx", "xxxooo", "nnnooo"},
	{"new settled 2", true, "nnnxxx", "xxxooo", "nnnooo"},
	{"old settled 3", true, "nnnxnn", "xxxoxx", "nnnonn"},
	{"new settled 3", true, "nnnxnn", "xxxoxx", "nnnonn"},
	{"old next 4", true, "nnnxnn", "xxxoxx", "nnnonn"},
}

func TestAKilledProcessTakesOnlyItsOwnSessions(t *testing.T) {
	t.Parallel()
	for _, tt := range steps {
		for victim, want := range map[string]string{"old": tt.oldKilled, "new": tt.newKilled} {
			t.Run(victim+" killed at "+tt.step, func(t *testing.T) {
				t.Parallel()
				h := startTransfer(t, six, tt.step)
				reached, _, _ := strings.Cut(tt.step, " ")
				h.line(reached, "at")
				h.sides[victim].kill()
				survivor := "old"
				if victim == "old" {
					survivor = "new"
				}
				if reached == survivor {
					h.say(survivor)
				}
				if got := h.line(survivor, "ended"); got == "<nil>" {
					t.Errorf("the %s process ended the take-over without an error", survivor)
				}
				if got := h.owners(); got != want {
					t.Errorf("the sessions are owned by %s; want %s", got, want)
				}
				h.checkFiles(survivor, fileChange(survivor, want, tt.listening))
			})
		}
	}
}

func TestAProcessThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	for _, tt := range steps {
		t.Run(tt.step, func(t *testing.T) {
			t.Parallel()
			p := six
			p.Step = 5 * time.Second
			h := startTransfer(t, p, tt.step)
			hung, _, _ := strings.Cut(tt.step, " ")
			h.line(hung, "at")
			other := "old"
			if hung == "old" {
				other = "new"
			}
			if got := h.line(other, "ended"); !strings.Contains(got, "does not answer in time") {
				t.Errorf("the %s process ended the take-over with %s; want that the other one does not answer in time", other, got)
			}
			h.say(hung)
			if got := h.line(hung, "ended"); got == "<nil>" {
				t.Errorf("the %s process ended the take-over without an error", hung)
			}
			if got := h.owners(); got != tt.hung {
				t.Errorf("the sessions are owned by %s; want %s", got, tt.hung)
			}
			for name := range h.sides {
				h.checkFiles(name, fileChange(name, tt.hung, tt.listening))
			}
		})
	}
}

// fileChange returns how many descriptors a process has more than before, when the
// sessions have these owners: each has two of them, and the connection is closed.
func fileChange(name, owners string, listening bool) int {
	if name == "old" {
		return -1 - 2*(len(owners)-strings.Count(owners, "o"))
	}
	n := -1 + 2*strings.Count(owners, "n")
	if listening {
		n++
	}
	return n
}

func TestTakeOver(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name             string
		part             part
		oldSays, newSays string // "" for no error
		want             string
		listening        bool
	}{
		{name: "all but one", part: six, want: "nnnonn", listening: true},
		{name: "no sessions", part: part{}, want: "", listening: true},
		{
			name: "more descriptors than a message carries",
			part: part{Sessions: 300, PerBatch: 1000, Refuse: []int{126, 299}},
			want: strings.Repeat("n", 126) + "o" + strings.Repeat("n", 172) + "o", listening: true,
		},
		{
			name: "more bytes than a batch has",
			part: part{Sessions: 100, PerBatch: 1000, Padding: 200 << 10},
			want: strings.Repeat("n", 100), listening: true,
		},
		{
			name:    "a limit of open files that is one too low",
			part:    part{Sessions: 6, PerBatch: 2, Limit: 12},
			oldSays: "the new process may open 12 more files, and 13 are to be handed over",
			newSays: "the old process gave up: the new process may open 12 more files",
			want:    "oooooo",
		},
		{
			name:    "a limit of open files that is lower than was said",
			part:    part{Sessions: 6, PerBatch: 2, Limit: 8, Room: 1000},
			oldSays: "the new process gave up: waiting for Batch or Done: not all descriptors could be received",
			newSays: "RLIMIT_NOFILE",
			want:    "nnoooo", listening: true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.part.Step = time.Minute
			h := startTransfer(t, tt.part, "")
			for name, want := range map[string]string{"old": tt.oldSays, "new": tt.newSays} {
				if got := h.line(name, "ended"); want == "" && got != "<nil>" || !strings.Contains(got, want) {
					t.Errorf("the %s process ended the take-over with %s; want %q", name, got, want)
				}
			}
			if got := h.owners(); got != tt.want {
				t.Errorf("the sessions are owned by %s; want %s", got, tt.want)
			}
			for name := range h.sides {
				h.checkFiles(name, fileChange(name, tt.want, tt.listening))
			}
		})
	}
}

func TestWhatWaitsInTheQueueIsServed(t *testing.T) {
	t.Parallel()
	h := startTransfer(t, six, "old start")
	h.line("old", "at")
	c, err := net.Dial("tcp", h.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	h.say("old")
	if got, err := io.ReadAll(c); err != nil || string(got) != "n" {
		t.Errorf("a connection that was made before the take-over reads %q, %v; want an answer of the new process", got, err)
	}
}
