package wire

import (
	"io"
	"sync"
)

const (
	recordHeader = 5 // bytes
	// maxRecord is the length of the longest record that a TLS implementation may send:
	// 2^14 bytes of payload and 2^11 of expansion (RFC 5246, section 6.2.3; TLS 1.3
	// allows less).
	maxRecord = recordHeader + 1<<14 + 1<<11
)

// recordBuffers holds empty buffers with the capacity of the longest record.
var recordBuffers = sync.Pool{New: func() any { b := make([]byte, 0, maxRecord); return &b }}

// wholeRecords returns the length of the complete TLS records at the start of b. It
// returns false if b is not a sequence of records.
func wholeRecords(b []byte) (whole int, ok bool) {
	for {
		rest := b[whole:]
		if len(rest) > 0 && (rest[0] < 20 || rest[0] > 24) || len(rest) > 1 && rest[1] != 3 {
			return whole, false
		}
		if len(rest) < recordHeader {
			return whole, true
		}
		n := recordHeader + int(rest[3])<<8 + int(rest[4])
		if n > maxRecord {
			return whole, false
		}
		if len(rest) < n {
			return whole, true
		}
		whole += n
	}
}

// readRecords is Read for a connection that carries TLS records. It reads straight into p
// while nothing was read ahead, so that an idle connection holds no buffer.
func (c *Conn) readRecords(p []byte) (int, error) {
	if c.ahead == nil {
		n, err := c.readSocket(p)
		whole := c.deliverable(p[:n])
		if first := c.oneRecord(p[:whole]); first < n {
			c.ahead = recordBuffers.Get().(*[]byte)
			*c.ahead = append(*c.ahead, p[first:n]...)
			whole, c.whole = first, whole-first
		}
		if whole > 0 || c.ahead == nil {
			return whole, err
		}
	}
	for c.whole == 0 { // ahead starts with a part of a record: its rest must come first
		b := *c.ahead
		n, err := c.readSocket(b[len(b):cap(b)])
		*c.ahead = b[:len(b)+n]
		c.whole = c.deliverable(*c.ahead)
		switch {
		case n > 0:
		case err == io.EOF: // crypto/tls calls an end truncated only where it has seen part of a record
			c.whole = len(*c.ahead)
		default:
			return 0, err
		}
	}
	return c.deliver(p), nil
}

// deliverable returns how many bytes of b, which starts at a record boundary, a Read may
// return. If b is not TLS, that is all of it, and the connection stops looking for
// records.
func (c *Conn) deliverable(b []byte) int {
	whole, ok := wholeRecords(b)
	if !ok {
		c.byRecord = false
		return len(b)
	}
	return whole
}

// Raw makes Reads return bytes as they come: who reads knows where records end, and may begin in
// the middle of one. What was read ahead must have been taken.
func (c *Conn) Raw() { c.byRecord = false }

// OneRecord makes each Read return one record at most, while the connection captures: what reads
// a handshake has nothing of what follows it. No Read may be under way.
func (c *Conn) OneRecord(on bool) { c.single = on }

// oneRecord returns how many bytes of b, which holds whole records or the rest of one and whole
// ones, a Read may return.
func (c *Conn) oneRecord(b []byte) int {
	m := c.activeCapture()
	if !c.single || !c.byRecord || m == nil || len(b) < recordHeader {
		return len(b)
	}
	if missing := m.in.missing(); missing > 0 {
		return min(missing, len(b))
	}
	return min(recordHeader+int(b[3])<<8+int(b[4]), len(b))
}

// deliver moves deliverable bytes from the read-ahead to p and returns their number.
func (c *Conn) deliver(p []byte) int {
	b := *c.ahead
	n := copy(p, b[:c.oneRecord(b[:c.whole])])
	c.whole -= n
	*c.ahead = b[:copy(b, b[n:])]
	if len(*c.ahead) == 0 {
		c.freeAhead()
	}
	return n
}

// freeAhead gives the buffer of the read-ahead back, with all that is in it.
func (c *Conn) freeAhead() {
	*c.ahead = (*c.ahead)[:0]
	recordBuffers.Put(c.ahead)
	c.ahead, c.whole = nil, 0
}
