//go:build linux

package integration

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
)

const maxContent = 4 << 20 // bytes of a body

// bodyEnd is how the end of a body is known.
type bodyEnd uint8

const (
	counted bodyEnd = iota
	inChunks
	untilClose // answers only
)

// course is what becomes of a request.
type course uint8

const (
	runs    course = iota // to its end
	stops                 // the client leaves in the middle of its body
	quits                 // the client leaves when it has sent the request
	leaves                // the client leaves in the middle of the answer
	cuts                  // the endpoint leaves in the middle of the answer
	drops                 // the endpoint leaves instead of an answer
	refuses               // the endpoint answers in the middle of the request's body
	becomes               // a session
)

// request is a request and its answer, which follow from the seed of the mix and its number.
type request struct {
	number  uint64
	seed    uint64
	route   string
	method  string
	course  course
	size    int // bytes of the body
	offset  int // of the body in the content
	framing bodyEnd
	expects bool // 100 (Continue), but the client does not wait for it

	status   int
	informs  int // informational answers
	answer   int // bytes of its body
	replied  int // offset of the answer's body in the content
	replying bodyEnd
	closes   bool // the endpoint closes the connection behind the answer
	slow     bool // pieces of the bodies come slowly
	torn     bool // what is sent is torn apart
	at       int  // bytes of the body after which somebody leaves, or refuses
	softly   bool // who leaves closes the connection without a reset

	received atomic.Int32 // how often an endpoint got the head
	logged   chan record
}

func newRequest(seed, number uint64) *request {
	random := rand.New(rand.NewPCG(seed, number<<2))
	some := func(n int) bool { return random.IntN(n) == 0 }
	q := &request{
		number: number, seed: seed,
		route:  mixedRoutes[random.IntN(len(mixedRoutes))],
		method: http.MethodGet, status: http.StatusOK,
		offset: random.IntN(maxOffset), replied: random.IntN(maxOffset),
		slow: some(8), torn: some(8), closes: some(16), softly: some(2),
		logged: make(chan record, 1),
	}
	if some(16) {
		q.course, q.status = becomes, http.StatusSwitchingProtocols
		return q
	}
	q.answer, q.replying = size(random), bodyEnd(random.IntN(3))
	if some(8) {
		q.informs = 1 + random.IntN(2)
	}
	switch random.IntN(12) {
	case 0:
		q.method = http.MethodHead
	case 1, 2, 3, 4, 5:
		q.method, q.size, q.framing, q.expects = http.MethodPost, size(random), bodyEnd(random.IntN(2)), some(10)
	}
	switch random.IntN(12) {
	case 0:
		q.status, q.answer = http.StatusNoContent, 0
	case 1:
		q.status, q.answer = http.StatusNotModified, 0
	case 2:
		q.status = http.StatusInternalServerError
	}
	if some(4) {
		q.choose(random)
	}
	if q.replying == untilClose {
		q.closes = true
		q.softly = q.softly && q.course != cuts // that would be the end of the body
	}
	return q
}

// choose makes the request one that does not run to its end, where it can be one.
func (q *request) choose(random *rand.Rand) {
	switch c := course(1 + random.IntN(int(refuses))); {
	case c == drops || c == quits:
		q.course = c
	case (c == stops || c == refuses) && q.size > 1:
		q.course, q.at = c, random.IntN(q.size)
	case c == cuts && q.fades(): // the end of its answer cannot be told from a cut
	case (c == leaves || c == cuts) && q.answer > 1 && !q.answerless():
		q.course, q.at = c, random.IntN(q.answer)
	}
	if q.course == refuses {
		q.status, q.answer, q.replying = http.StatusRequestEntityTooLarge, q.answer%1000, counted
	}
}

// size returns how long a body is: few are long, and some near the bounds of buffers.
func size(random *rand.Rand) int {
	switch random.IntN(16) {
	case 0:
		return 0
	case 1, 2, 3, 4, 5:
		return random.IntN(200)
	case 6, 7, 8, 9:
		return random.IntN(16 << 10)
	case 10, 11:
		return random.IntN(128 << 10)
	case 12:
		return 32<<10 - 8 + random.IntN(16)
	case 13:
		return 128<<10 - 512 + random.IntN(1024)
	case 14:
		return random.IntN(1 << 20)
	}
	return random.IntN(maxContent)
}

// answerless reports whether the answer has no body, whatever its head says.
func (q *request) answerless() bool {
	return q.method == http.MethodHead || q.status == http.StatusNoContent || q.status == http.StatusNotModified
}

// fades reports whether the answer ends with the connection, and that has no resets.
func (q *request) fades() bool { return q.replying == untilClose && q.route == mixedRoutes[2] }

// abrupt reports whether the client ends the connection.
func (q *request) abrupt() bool { return q.course == stops || q.course == quits || q.course == leaves }

// last reports whether nothing can follow on the connection.
func (q *request) last() bool { return q.abrupt() || q.course == becomes }

func (q *request) String() string {
	return fmt.Sprintf("request %d, %s %s, course %d at %d (softly: %t), body of %d (framing %d, expects: %t), answer %d with %d (framing %d, closes: %t, informs: %d), torn: %t, slow: %t, received %d times",
		q.number, q.method, q.route, q.course, q.at, q.softly, q.size, q.framing, q.expects, q.status, q.answer, q.replying, q.closes, q.informs, q.torn, q.slow, q.received.Load())
}

// random returns a source for what the other end need not know.
func (q *request) random(side side) *rand.Rand {
	return rand.New(rand.NewPCG(q.seed, q.number<<2|1+uint64(side)))
}

// head returns the head of the request.
func (q *request) head() string {
	uri := q.route + strconv.FormatUint(q.number, 10)
	lines := []string{q.method + " " + uri + " HTTP/1.1", "Host: gateway.test"}
	switch {
	case q.method != http.MethodPost:
	case q.framing == inChunks:
		lines = append(lines, "Transfer-Encoding: chunked", "Trailer: "+numberTrailer)
	default:
		lines = append(lines, "Content-Length: "+strconv.Itoa(q.size))
	}
	if q.expects {
		lines = append(lines, "Expect: 100-continue")
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// The header, and the trailer, that have the number of the request.
const (
	numberHeader  = "X-Mix"
	numberTrailer = "X-Mix-End"
)

// reply returns the head of the answer. Closes says that it is the last one of the connection.
func (q *request) reply(closes bool) string {
	var b strings.Builder
	for range q.informs {
		fmt.Fprintf(&b, "HTTP/1.1 103 Early Hints\r\nLink: <%d>\r\n\r\n", q.number)
	}
	fmt.Fprintf(&b, "HTTP/1.1 %d Mixed\r\n%s: %d\r\n", q.status, numberHeader, q.number)
	switch {
	case q.status == http.StatusNoContent || q.status == http.StatusNotModified:
	case q.replying == counted:
		fmt.Fprintf(&b, "Content-Length: %d\r\n", q.answer)
	case q.replying == inChunks:
		fmt.Fprintf(&b, "Transfer-Encoding: chunked\r\nTrailer: %s\r\n", numberTrailer)
	}
	if closes {
		b.WriteString("Connection: close\r\n")
	}
	return b.String() + "\r\n"
}

// sender returns a function that writes to c what belongs to q.
func (q *request) sender(c io.Writer, random *rand.Rand) func([]byte) error {
	return func(b []byte) error {
		for q.torn && len(b) > 1 && random.IntN(3) > 0 {
			n := 1 + random.IntN(min(len(b)-1, 100))
			if _, err := c.Write(b[:n]); err != nil {
				return err
			}
			b = b[n:]
			pause(random, slowest)
		}
		_, err := c.Write(b)
		return err
	}
}

// pieces sends the bytes of a body from offset on, up to end, in pieces of any size. A whole
// one in chunks has its end, with the number.
func (m *mix) pieces(q *request, random *rand.Rand, send func([]byte) error, f bodyEnd, offset, end int, whole bool) error {
	for pos := 0; pos < end; {
		n := min(1+random.IntN(64<<10), end-pos)
		b := m.part(offset, pos, n)
		if f == inChunks {
			b = fmt.Appendf(nil, "%x\r\n%s\r\n", n, b)
		}
		if err := send(b); err != nil {
			return err
		}
		if pos += n; q.slow {
			pause(random, slowest)
		}
	}
	if f == inChunks && whole {
		return send(fmt.Appendf(nil, "0\r\n%s: %d\r\n\r\n", numberTrailer, q.number))
	}
	return nil
}
