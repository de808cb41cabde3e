package takeover

import (
	"errors"
	"fmt"

	"sluice/internal/codec"
)

// A kind is the first byte of a message.
type kind byte

const (
	hello kind = iota + 1
	ready
	listeners
	open
	batch
	have
	yours
	done
	rest
	failed
)

var kindNames = [...]string{hello: "Hello", ready: "Ready", listeners: "Listeners", open: "Open", batch: "Batch", have: "Have", yours: "Yours", done: "Done", rest: "Rest", failed: "Failed"}

func (k kind) known() bool { return k >= hello && k <= failed }

func (k kind) String() string {
	if k.known() {
		return kindNames[k]
	}
	return fmt.Sprintf("message %d", byte(k))
}

// maxText is how many bytes names, kinds and reasons may have.
const maxText = 4096

var errFileCount = errors.New("it has another number of descriptors than it says")

// carryGreeting carries Hello or Ready: the version, which it returns, and a number, which is the clock of the old process, or
// how many descriptors the new one may still open.
func carryGreeting(c *codec.Coder, n *int64) (version uint64) {
	version = Version
	codec.Number(c, &version)
	codec.Number(c, n)
	return version
}

// carryListeners carries the state of the gateway, as state does, and the listeners without their descriptors.
func carryListeners(c *codec.Coder, state func(*codec.Coder), list *[]Listener) {
	c.Block(state)
	codec.List(c, list, MaxFiles, func(c *codec.Coder, l *Listener) {
		c.Text(&l.Name, maxText)
		c.Text(&l.Kind, maxText)
	})
}

// readListeners gives each listener its descriptor of files, of which every one has to
// belong to a listener.
func readListeners(c *codec.Coder, files []int) (state *codec.Coder, list []Listener, err error) {
	carryListeners(c, func(s *codec.Coder) { state = s }, &list)
	if err := c.End(); err != nil {
		return nil, nil, err
	}
	if len(list) != len(files) {
		return nil, nil, errFileCount
	}
	for i := range list {
		list[i].File = files[i]
	}
	return state, list, nil
}

// A Batch is sessions that move together. It lies in memory that stays out of core dumps.
type Batch struct {
	out      []byte // its capacity is the room
	files    []int
	sessions int
}

// Len returns how many sessions were added.
func (b *Batch) Len() int { return b.sessions }

// Add adds a session that is stopped: its state, as carry writes it, and its
// descriptors, at least one. They stay open and the caller's. It reports false if there
// was no room; what carry wrote is wiped then. A session that has no room in an empty
// batch cannot move.
func (b *Batch) Add(carry func(*codec.Coder), files ...int) bool {
	if len(files) == 0 || len(files) > MaxFiles-len(b.files) {
		return false
	}
	c, n := codec.Writer(b.out), uint64(len(files))
	codec.Number(c, &n)
	if c.Block(carry); c.End() != nil {
		clear(c.Written()[len(b.out):])
		return false
	}
	b.out, b.files = c.Written(), append(b.files, files...)
	b.sessions++
	return true
}

// session is one of a batch that was received.
type session struct {
	state *codec.Coder
	files []int
}

// readBatch splits a batch, and its descriptors, of which every one has to belong to a session.
func readBatch(c *codec.Coder, files []int) ([]session, error) {
	var sessions []session
	for c.Left() > 0 {
		var n uint64
		var state *codec.Coder
		codec.Number(c, &n)
		c.Block(func(s *codec.Coder) { state = s })
		if err := c.Err(); err != nil {
			return nil, err
		}
		if n == 0 || n > uint64(len(files)) {
			return nil, errFileCount
		}
		sessions = append(sessions, session{state, files[:n:n]})
		files = files[n:]
	}
	if len(sessions) == 0 || len(files) > 0 {
		return nil, errFileCount
	}
	return sessions, c.End()
}

// carryHave carries the answer for each of n sessions.
func carryHave(c *codec.Coder, yes *[]bool, n int) { codec.List(c, yes, n, (*codec.Coder).Bool) }

// readHave returns the answer for each of n sessions.
func readHave(c *codec.Coder, n int) (yes []bool, _ error) {
	carryHave(c, &yes, n)
	if err := c.End(); err != nil {
		return nil, err
	}
	if len(yes) != n {
		return nil, fmt.Errorf("it answers for %d of %d sessions", len(yes), n)
	}
	return yes, nil
}
