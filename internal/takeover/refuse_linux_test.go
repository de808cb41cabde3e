package takeover

import (
	"net"
	"strings"
	"testing"

	"sluice/internal/codec"
)

func TestTakeRefuses(t *testing.T) {
	tests := []struct {
		name    string
		in      []sent
		want    string
		settled string
	}{
		{"nothing", nil, "waiting for Hello: the old process has closed the connection or ended", ""},
		{"a message of a later version", []sent{{kind: 77}}, "the old process sent message 77, which this version does not know", ""},
		{"a message of 0", []sent{{}}, "which this version does not know", ""},
		{"another version", []sent{otherHello, goodListeners, {kind: done, body: "\x00"}, {kind: rest}}, "", "listeners alone, done"},
		{"a batch of another version", []sent{otherHello, goodListeners, goodBatch}, "waiting for Done: the old process sent Batch", "listeners alone, "},
		{"a version cut", []sent{{kind: hello, body: "\x80"}}, "a Hello that cannot be read: at byte 0 of 1: the input ends inside a value", ""},
		{"a Hello that goes on", []sent{{kind: hello, body: goodHello.body + "x"}}, "goes on after its last value", ""},
		{"a Hello with a descriptor", []sent{{kind: hello, files: 1, body: goodHello.body}}, "sent Hello with 1 descriptors", ""},
		{"listeners first", []sent{goodListeners}, "waiting for Hello: the old process sent Listeners", ""},
		{"a batch before listeners", []sent{goodHello, goodBatch}, "waiting for Listeners: the old process sent Batch", ""},
		{"a descriptor less than it says", []sent{goodHello, {listeners, 1, 1, goodListeners.body}}, "another number of descriptors", ""},
		{"a descriptor more than listeners", []sent{goodHello, {listeners, 2, 0, goodListeners.body}}, "another number of descriptors", ""},
		{"listeners cut", []sent{goodHello, {listeners, 1, 0, goodListeners.body[:9]}}, "a Listeners that cannot be read", ""},
		{"no batch and no Done", []sent{goodHello, goodListeners}, "waiting for Batch or Done: the old process has closed", ""},
		{"a commit without a batch", []sent{goodHello, goodListeners, {kind: yours}}, "waiting for Batch or Done: the old process sent Yours", ""},
		{"an empty batch", []sent{goodHello, goodListeners, {kind: batch}}, "another number of descriptors", ""},
		{"a session without descriptors", []sent{goodHello, goodListeners, {kind: batch, body: "\x00\x00\x00\x00\x00\x00\x00\x00\x00"}}, "another number of descriptors", ""},
		{"a session with too few", []sent{goodHello, goodListeners, {batch, 1, 0, goodSession}}, "another number of descriptors", ""},
		{"descriptors left over", []sent{goodHello, goodListeners, {batch, 3, 0, goodSession}}, "another number of descriptors", ""},
		{"a session cut", []sent{goodHello, goodListeners, {batch, 2, 0, goodSession[:10]}}, "a Batch that cannot be read", ""},
		{"no commit", []sent{goodHello, goodListeners, goodBatch}, "waiting for Yours: the old process has closed", "false"},
		{"a batch instead of the commit", []sent{goodHello, goodListeners, goodBatch, goodBatch}, "waiting for Yours: the old process sent Batch", "false"},
		{"a commit with a body", []sent{goodHello, goodListeners, goodBatch, {kind: yours, body: "x"}}, "a Yours that cannot be read", "false"},
		{"a reason instead of the commit", []sent{goodHello, goodListeners, goodBatch, {kind: failed, body: "\x05sorry"}}, "the old process gave up: sorry", "false"},
		{"a reason that is no text of its length", []sent{goodHello, {kind: failed, body: "\x05sorry!"}}, "a Failed that cannot be read", ""},
		{"no Done", []sent{goodHello, goodListeners, goodBatch, {kind: yours}}, "waiting for Batch or Done: the old process has closed", "true"},
		{"no Rest", []sent{goodHello, goodListeners, goodBatch, {kind: yours}, {kind: done, body: "\x00"}}, "waiting for Rest: the old process has closed", "truedone"},
		{"everything", []sent{goodHello, goodListeners, goodBatch, {kind: yours}, goodBatch, {kind: yours}, {kind: done, body: "\x00"}, {kind: rest}}, "", "truetruedone"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn, sent := scriptOfGiver(t, tt.in)
			before := openFiles()
			var settled strings.Builder
			err := Take(t.Context(), conn, recordingTaker(&settled), long)
			<-sent
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Take() = %v; want %q", err, tt.want)
			}
			if settled.String() != tt.settled {
				t.Errorf("Settled was called with %q; want %q", settled.String(), tt.settled)
			}
			if got := openFiles(); got != before-1 {
				t.Errorf("%d descriptors are open; want %d, one less than before", got, before-1)
			}
		})
	}
}

func TestGiveRefuses(t *testing.T) {
	tests := []struct {
		name    string
		in      []sent
		want    string
		settled string
	}{
		{"nothing", nil, "waiting for Ready: the new process has closed the connection or ended", ""},
		{"an unknown message", []sent{{kind: 77}}, "the new process sent message 77", ""},
		{"a reason", []sent{{kind: failed, body: "\x05sorry"}}, "the new process gave up: sorry", ""},
		{"Open first", []sent{{kind: open}}, "waiting for Ready: the new process sent Open", ""},
		{"a Ready without a number", []sent{{kind: ready}}, "a Ready that cannot be read", ""},
		{"a Ready that goes on", []sent{{kind: ready, body: goodReady.body + "\x00"}}, "a Ready that cannot be read", ""},
		{"a Ready with a descriptor", []sent{{kind: ready, files: 1, body: goodReady.body}}, "sent Ready with 1 descriptors", ""},
		{"another version", []sent{otherReady, {kind: open}, {kind: done}}, "", "listeners alone, done"},
		{"an answer before Open", []sent{goodReady, {kind: have, body: "\x01\x01"}}, "waiting for Open: the new process sent Have", ""},
		{"no answer", []sent{goodReady, {kind: open}}, "waiting for Have: the new process has closed", "[false]"},
		{"answers for no session", []sent{goodReady, {kind: open}, {kind: have, body: "\x00"}}, "it answers for 0 of 1 sessions", "[false]"},
		{"answers for two sessions", []sent{goodReady, {kind: open}, {kind: have, body: "\x02\x01\x01"}}, "larger than allowed", "[false]"},
		{"an answer that is neither", []sent{goodReady, {kind: open}, {kind: have, body: "\x01\x02"}}, "a Have that cannot be read", "[false]"},
		{"Done instead of an answer", []sent{goodReady, {kind: open}, {kind: done}}, "waiting for Have: the new process sent Done", "[false]"},
		{"no second answer", []sent{goodReady, {kind: open}, {kind: have, body: "\x01\x01"}}, "waiting for Have", "[true][false]"},
		{"no Done", []sent{goodReady, {kind: open}, {kind: have, body: "\x01\x01"}, {kind: have, body: "\x01\x00"}}, "waiting for Done", "[true][false]"},
		{"everything", []sent{goodReady, {kind: open}, {kind: have, body: "\x01\x01"}, {kind: have, body: "\x01\x00"}, {kind: done}}, "", "[true][false]done"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn := script(t, tt.in)
			before := openFiles()
			var settled strings.Builder
			err := Give(t.Context(), conn, recordingGiver(&settled, 2), long)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Give() = %v; want %q", err, tt.want)
			}
			if settled.String() != tt.settled {
				t.Errorf("Settled was called with %q; want %q", settled.String(), tt.settled)
			}
			if got := openFiles(); got != before-1 {
				t.Errorf("%d descriptors are open; want %d, one less than before", got, before-1)
			}
		})
	}
}

func TestReceiveRefusesWhatIsNoMessage(t *testing.T) {
	tests := []struct {
		name string
		send func(c *net.UnixConn)
		want string
	}{
		{"a head cut", func(c *net.UnixConn) { write(t, c, []byte{byte(hello), 0, 0}, 0) }, "has closed the connection"},
		{"a body cut", func(c *net.UnixConn) { write(t, c, []byte{byte(hello), 0, 0, 0, 0, 2, 1}, 0) }, "receiving Hello: "},
		{"a body over its limit", func(c *net.UnixConn) { write(t, c, []byte{byte(hello), 0, 255, 255, 255, 255}, 0) }, "sent a Hello of 4294967295 bytes"},
		{"descriptors with the body", func(c *net.UnixConn) {
			write(t, c, goodHello.bytes()[:headSize], 0)
			write(t, c, goodHello.bytes()[headSize:], 2)
		}, "descriptors came inside a message"},
		{"descriptors with half a head", func(c *net.UnixConn) {
			write(t, c, []byte{byte(batch), 2}, 2)
			write(t, c, []byte{0, 0}, 253)
		}, "has closed the connection"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := pipe(t)
			tt.send(a)
			a.Close()
			before := openFiles()
			err := Take(t.Context(), b, recordingTaker(new(strings.Builder)), long)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Take() = %v; want %q", err, tt.want)
			}
			if got := openFiles(); got != before-1 {
				t.Errorf("%d descriptors are open; want %d, one less than before", got, before-1)
			}
		})
	}
}

// FuzzTake states that no input makes Take panic, wait for more, or keep a descriptor.
func FuzzTake(f *testing.F) {
	for _, messages := range [][]sent{
		{goodHello},
		{goodHello, {kind: listeners, body: written(func(c *codec.Coder) { carryListeners(c, func(*codec.Coder) {}, new([]Listener)) })}, {kind: done, body: "\x00"}, {kind: rest}},
		{goodHello, {kind: failed, body: "\x05sorry"}},
	} {
		addSeed(f, messages)
	}
	f.Add(goodHello.bytes(), goodListeners.bytes(), goodBatch.bytes(), uint8(1), uint8(2))
	f.Fuzz(func(t *testing.T, first, second, third []byte, files2, files3 uint8) {
		a, b := pipe(t)
		feed(t, a, first, 0)
		feed(t, a, second, files2)
		feed(t, a, third, files3)
		a.CloseWrite()
		before := openFiles()
		Take(t.Context(), b, recordingTaker(new(strings.Builder)), long)
		if got := openFiles(); got != before-1 {
			t.Fatalf("%d descriptors are open; want %d", got, before-1)
		}
	})
}

// FuzzGive states the same of Give, and that every session is settled once.
func FuzzGive(f *testing.F) {
	for _, messages := range [][]sent{
		{goodReady, {kind: open}, {kind: have, body: "\x01\x01"}, {kind: have, body: "\x01\x00"}, {kind: done}},
		{goodReady, {kind: failed, body: "\x05sorry"}},
	} {
		addSeed(f, messages)
	}
	f.Fuzz(func(t *testing.T, first, second, third []byte, files2, files3 uint8) {
		a, b := pipe(t)
		feed(t, a, first, 0)
		feed(t, a, second, files2)
		feed(t, a, third, files3)
		a.CloseWrite()
		before := openFiles()
		stopped, settled := 0, 0
		g := recordingGiver(new(strings.Builder), 2)
		next := g.Next
		g.Next = func(b *Batch) error {
			err := next(b)
			stopped += b.Len()
			return err
		}
		g.Settled = func(given []bool) { settled += len(given) }
		Give(t.Context(), b, g, long)
		if got := openFiles(); got != before-1 || stopped != settled {
			t.Fatalf("%d descriptors are open, %d of %d sessions settled; want %d descriptors and all", got, settled, stopped, before-1)
		}
	})
}

// addSeed adds messages without descriptors as one piece.
func addSeed(f *testing.F, messages []sent) {
	var all []byte
	for _, m := range messages {
		all = append(all, m.bytes()...)
	}
	f.Add(all, []byte{}, []byte{}, uint8(0), uint8(0))
}

// feed sends at most as much as a socket takes without a reader.
func feed(t *testing.T, c *net.UnixConn, b []byte, files uint8) {
	if len(b) > 0 {
		write(t, c, b[:min(len(b), 16<<10)], min(int(files), MaxFiles))
	}
}
