package wire

import "io"

const (
	recordHeader = 5
	// maxRecord is the longest record a TLS implementation may send: 2^14
	// bytes of payload and 2^11 of expansion (RFC 5246, section 6.2.3; TLS 1.3
	// allows less).
	maxRecord = recordHeader + 1<<14 + 1<<11
)

// span returns the length of the complete TLS records at the start of b. ok is
// false where b is not a sequence of records.
func span(b []byte) (whole int, ok bool) {
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

// readRecords is Read for a connection that carries TLS records. While nothing
// waits it reads straight into p, so that an idle connection holds no buffer.
func (c *Conn) readRecords(p []byte) (int, error) {
	if c.ahead == nil {
		n, err := c.receive(p)
		whole := c.measure(p[:n])
		if whole < n {
			c.ahead = buffers.Get().(*[]byte)
			*c.ahead = append(*c.ahead, p[whole:n]...)
		}
		if whole > 0 || c.ahead == nil {
			return whole, err
		}
	}
	for c.whole == 0 { // a record is cut: its rest, and what else has come
		b := *c.ahead
		n, err := c.receive(b[len(b):cap(b)])
		*c.ahead = b[:len(b)+n]
		c.whole = c.measure(*c.ahead)
		switch {
		case n > 0:
		case err == io.EOF: // crypto/tls calls an end truncated only where it has seen part of a record
			c.whole = len(*c.ahead)
		default:
			return 0, err
		}
	}
	return c.take(p), nil
}

// measure returns how many bytes of b, which start a record, may be handed
// over. What is no TLS goes over as it is from then on.
func (c *Conn) measure(b []byte) int {
	whole, ok := span(b)
	if !ok {
		c.records = false
		return len(b)
	}
	return whole
}

// take moves bytes that may be handed over to p.
func (c *Conn) take(p []byte) int {
	b := *c.ahead
	n := copy(p, b[:c.whole])
	c.whole -= n
	*c.ahead = b[:copy(b, b[n:])]
	if len(*c.ahead) == 0 {
		c.release()
	}
	return n
}

// release gives the buffer back, whatever it still holds.
func (c *Conn) release() {
	*c.ahead = (*c.ahead)[:0]
	buffers.Put(c.ahead)
	c.ahead, c.whole = nil, 0
}
