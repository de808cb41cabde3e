package integration

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What the loops forward reads the same to net/http, to the parser of Node.js and to h11,
// whatever bytes clients send, in whatever pieces: each request once, with the bytes of its
// own body, and none behind it is swallowed.
//
// SLUICE_DIFFERENTIAL is for how long, as make fuzz-differential sets it; otherwise there are
// some hundred streams. SLUICE_SEED repeats what was sent.
func TestForwardedRequestsReadTheSame(t *testing.T) {
	if runtime.GOOS != "linux" || portable() {
		t.Skip("there are no loops")
	}
	t.Parallel()
	length := setting(t, "SLUICE_DIFFERENTIAL", 0, time.ParseDuration)
	seed := uint64(1)
	if length > 0 {
		seed = rand.Uint64()
	}
	seed = setting(t, "SLUICE_SEED", seed, func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) })
	t.Logf("SLUICE_SEED=%d", seed)
	readers := newReaders(t)
	hostile := hostileTexts()
	end := time.Now().Add(length)
	var next, streams, requests atomic.Uint64
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			for !t.Failed() {
				n := next.Add(1)
				if length == 0 && n > 400 || length > 0 && time.Now().After(end) {
					return
				}
				s := newStream(seed, n, hostile)
				d := differential{stream: s, readers: readers}
				if err := d.run(); err != nil {
					t.Errorf("SLUICE_SEED=%d, stream %d: %v\nsent in %d pieces: %q\n%s", seed, n, err, len(s.pieces), s.text, d)
				}
				streams.Add(1)
				requests.Add(uint64(len(d.through[0].seen)))
			}
		})
	}
	running.Wait()
	for _, r := range readers {
		if late, err := r.late(); len(late) > 0 || err != nil {
			t.Errorf("%s has seen %v when their streams were over; %v", r.name, late, err)
		}
	}
	t.Logf("of %d streams %d requests were forwarded", streams.Load(), requests.Load())
}

// differential is one stream, and what became of it at each reader.
type differential struct {
	stream
	readers  []*reader
	through  [3]reading // by the gateway
	directly [3]reading // by the reader itself
}

func (d *differential) run() error {
	var all sync.WaitGroup
	var errs [6]error
	for i := range d.readers {
		all.Go(func() { d.through[i], errs[i] = d.readers[i].through(d.stream) })
		all.Go(func() { d.directly[i], errs[3+i] = d.readers[i].directly(d.stream) })
	}
	all.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	for i := range d.readers {
		for _, law := range []func(int) error{d.answersAreOfWhatWasSeen, d.nothingIsSeenTwice, d.sureIsForwarded, d.gatewayReadsAsReader, d.readsAsFirst} {
			if err := law(i); err != nil {
				return fmt.Errorf("%s: %w", d.readers[i].name, err)
			}
		}
	}
	return d.forwardedIsReadable()
}

// answersAreOfWhatWasSeen: each request that a reader has seen is answered with what it has
// seen, in order, up to where the test has ended the stream. Nothing comes behind an answer that
// ends the connection.
func (d *differential) answersAreOfWhatWasSeen(i int) error {
	got, seen := d.through[i], d.through[i].seen
	for k, h := range got.answers {
		if h.closes && k < len(got.answers)-1 {
			return fmt.Errorf("answer %d closes the connection, and is not the last", k)
		}
		if h.entry == nil {
			continue
		}
		if len(seen) == 0 || h.entry.ID != seen[0].ID || h.entry.Method != "" && !reflect.DeepEqual(*h.entry, seen[0]) {
			return fmt.Errorf("answer %d is of %v, want that of %v", k, *h.entry, seen)
		}
		*h.entry, seen = seen[0], seen[1:]
	}
	if len(seen) > 0 && !got.forced {
		return fmt.Errorf("these were seen and not answered: %v", seen)
	}
	return nil
}

// nothingIsSeenTwice: a mark is seen as often as it is sent, at most.
func (d *differential) nothingIsSeenTwice(i int) error {
	counts, text := make(map[string]int), decoded(d.text)
	for _, e := range d.through[i].seen {
		counts[e.mark()]++
	}
	for mark, n := range counts {
		if mark != "" && n > strings.Count(text, mark) {
			return fmt.Errorf("%s was seen %d times", mark, n)
		}
	}
	return nil
}

// sureIsForwarded: a request that has one meaning is forwarded with it, unless the connection
// has ended with the one before.
func (d *differential) sureIsForwarded(i int) error {
	got := d.through[i].certain()
	for k, want := range d.sure {
		switch {
		case k > 0 && k == len(got) && got[k-1].closes:
			return nil
		case k >= len(got) && d.through[i].forced:
			return nil
		case k >= len(got):
			return fmt.Errorf("request %d got no answer", k)
		case got[k].entry == nil:
			return fmt.Errorf("request %d is refused with %d", k, got[k].status)
		}
		e := *got[k].entry
		has := genuine{method: e.Method, mark: e.mark(), body: e.Body, sent: strings.Join(e.values("x-sent"), "|")}
		want.body, want.sent = characters(want.body), characters(want.sent)
		if has != want {
			return fmt.Errorf("request %d was seen as %+q, want %+q", k, has, want)
		}
	}
	if d.whole && len(got) > len(d.sure) {
		return fmt.Errorf("%d answers to %d requests", len(got), len(d.sure))
	}
	return nil
}

// gatewayReadsAsReader: what the gateway forwards the reader sees in the same place when it
// gets the stream itself, up to where it refuses something.
func (d *differential) gatewayReadsAsReader(i int) error {
	seen := d.directly[i].seen
	for k, h := range d.through[i].answers {
		if k == len(seen) {
			break
		}
		if h.entry == nil {
			continue
		}
		has, want := *h.entry, seen[k]
		damaged := has.mark() == "" || want.mark() == "" // dot segments behind it take it away
		if has.Method != want.Method || has.mark() != want.mark() && !damaged || has.Body != want.Body {
			return fmt.Errorf("request %d is %v to the gateway, and %v to the reader itself", k, has, want)
		}
	}
	return nil
}

// refusedByAll is what makes the readers refuse what the gateway takes. One is a size of a chunk
// with white space in front of its extension, which none of them takes (RFC 9112, section 7.1.1,
// and RFC 9110, section 5.6.3). The other is an empty line in front of a request (RFC 9112, section
// 2.2), which net/http refuses: the others may refuse the request for what the gateway mends, such
// as bytes beyond ASCII in its target, or a field in its trailer that has no place there.
var refusedByAll = regexp.MustCompile(`[0-9a-fA-F][ \t]+;|\r\n\r\n\r\n`)

// forwardedIsReadable: what all readers take from the gateway one of them takes when it gets the
// stream itself.
func (d *differential) forwardedIsReadable() error {
	k := len(d.directly[0].seen)
	for i, got := range d.directly {
		if got.forced || len(got.seen) != k { // one has given up before, for a reason of its own
			return nil
		}
		if answers := d.through[i].answers; k >= len(answers) || answers[k].entry == nil {
			return nil
		}
	}
	if !refusedByAll.MatchString(d.text) {
		return fmt.Errorf("request %d is one to none of the readers itself: %v", k, d.through[0].answers[k].entry)
	}
	return nil
}

// readsAsFirst: answer by answer, the reader has seen what the first one has, or both gateways
// have refused it in the same way.
func (d *differential) readsAsFirst(i int) error {
	a, b := d.through[0].certain(), d.through[i].certain()
	for k, y := range b[:min(len(a), len(b))] {
		x := a[k]
		switch {
		case y.refused == "HPE_INVALID_METHOD": // Node.js has a list; what stands behind depends on when the refusal came
			return nil
		case x.status != y.status || (x.entry == nil) != (y.entry == nil):
			return fmt.Errorf("answer %d is %v, and %v to %s", k, y, x, d.readers[0].name)
		case x.entry == nil:
		case !reflect.DeepEqual(d.readers[0].common(*x.entry), d.readers[i].common(*y.entry)):
			return fmt.Errorf("request %d is\n%v, and to %s\n%v", k, d.readers[i].common(*y.entry), d.readers[0].name, d.readers[0].common(*x.entry))
		}
	}
	if len(a) != len(b) && !d.through[0].forced && !d.through[i].forced {
		return fmt.Errorf("%d answers, and %d to %s", len(b), len(a), d.readers[0].name)
	}
	return nil
}

func (d differential) String() string {
	var b strings.Builder
	for i, r := range d.readers {
		fmt.Fprintf(&b, "%s: answers %v (forced: %v); directly it has seen %v\n", r.name, d.through[i].answers, d.through[i].forced, d.directly[i].seen)
	}
	return b.String()
}
