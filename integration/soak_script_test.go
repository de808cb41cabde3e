package integration

import (
	"math/rand/v2"

	"github.com/gobwas/ws"
)

// What each side sends, and how a session ends, follows from the seed of the soak and the
// number of the session: both ends of a session know what the other one will send.

const (
	maxSaid   = 1 << 20 // bytes of a message
	maxOffset = 64 << 10
)

// said is the text that payloads are parts of, and that they are compared with.
type said [maxSaid + maxOffset]byte

func newSaid(random *rand.Rand) *said {
	s := new(said)
	for i := range s {
		s[i] = byte(random.Uint32())
	}
	return s
}

// of returns the payload of a line.
func (s *said) of(l line) []byte {
	if l.op == ws.OpPing {
		return []byte(peerPing)
	}
	return s[l.offset : l.offset+l.length]
}

// A line is one frame of a script.
type line struct {
	op     ws.OpCode
	fin    bool
	offset int // of the payload in said
	length int
}

// script is the data frames and pings that one side of a session means to send.
type script struct {
	random   *rand.Rand
	messages int // still to begin
	rest     int // bytes of the message under way
	inside   bool
}

func newScript(seed, number uint64, side side) *script {
	random := rand.New(rand.NewPCG(seed, number<<2|uint64(side)))
	return &script{random: random, messages: random.IntN(33)}
}

// peerPing is the payload of the pings of peers; those of the gateway have eight bytes.
const peerPing = "peer"

// next returns the next line, if there is one.
func (s *script) next() (l line, ok bool) {
	switch {
	case s.random.IntN(16) == 0 && (s.inside || s.messages > 0):
		return line{op: ws.OpPing, fin: true, length: len(peerPing)}, true
	case s.inside:
		l.op = ws.OpContinuation
	case s.messages == 0:
		return line{}, false
	default:
		l.op = ws.OpBinary
		s.messages--
		s.rest = s.size()
	}
	l.offset, l.length, l.fin = s.random.IntN(maxOffset), s.rest, s.random.IntN(4) > 0
	if !l.fin {
		l.length = s.random.IntN(s.rest + 1)
	}
	s.rest -= l.length
	s.inside = !l.fin
	return l, true
}

// size returns the size of a message: one in 64 may have up to 1 MiB, the
// others up to 4 KiB, as many in each power of two.
func (s *script) size() int {
	powers := 12
	if s.random.IntN(64) == 0 {
		powers = 20
	}
	low := 1 << s.random.IntN(powers)
	return low + s.random.IntN(low+1)
}

// side is one end of a session.
type side int

const (
	client side = iota
	backend
)

func (s side) String() string { return [...]string{"client", "backend"}[s] }
func (s side) other() side    { return 1 - s }

var bothSides = [...]side{client, backend}

// A way is how a side ends a session.
type way int

const (
	closes   way = iota // with a Close frame
	hangsUp             // closes its connection
	halves              // ends its stream, and reads on
	resets              // sends RST
	vanishes            // stops doing anything
	violates            // sends a violation
	begs                // hangs up in the handshake
	allWays             // how many there are
)

// fate is how a session has to end, unless the gateway ends it first.
type fate struct {
	route string // one of soakRoutes
	side  side
	way   way
	after int // lines of the side's script
}

// begs reports whether a side leaves in the handshake.
func (f fate) begs(of side) bool { return f.way == begs && f.side == of }

func newFate(seed, number uint64) fate {
	random := rand.New(rand.NewPCG(seed, number<<2|3))
	f := fate{route: soakRoutes[random.IntN(len(soakRoutes))], side: side(random.IntN(2)), after: 1 << 30}
	if random.IntN(2) == 0 { // half of them end well
		f.way = way(random.IntN(int(allWays)))
	}
	if random.IntN(2) == 0 {
		f.after = random.IntN(64)
	}
	return f
}
