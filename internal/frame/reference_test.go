package frame

import (
	"encoding/binary"
	"slices"
	"unicode/utf8"
)

// outcome is what a gateway has to make of one direction of a session when all of it has come.
type outcome struct {
	forwarded []byte // everything that goes on
	swallowed int    // bytes of the answers to the gateway's pings
	held      int    // bytes at the end that wait for more
	counts    Counts
	close     []byte // the Close frame, last of what was forwarded
	violation Violation
	boundary  bool // what was forwarded ends between frames
	left      int64
}

// gatewayRules is what a gateway asks of a side in addition to the RFC.
type gatewayRules struct {
	frame, message int64  // bytes of payload; 0 means any
	messages       int    // how many may begin; 0 means any
	ping           uint64 // of its own; 0 without one
}

// reference reads a whole stream as RFC 6455, section 5, and RFC 7692 with compressed, say. It is
// slow, and was written from the text alone. If a frame breaks several rules, the first one in
// this order counts: section 5.2 in the order of its fields, then 5.5, then 5.4, then the rules
// of the gateway.
func reference(stream []byte, fromClient, compressed bool, rules gatewayRules) outcome {
	const (
		continuation, text, bin = 0x0, 0x1, 0x2
		closing, ping, pong     = 0x8, 0x9, 0xa
	)
	o := outcome{boundary: true}
	inMessage, begun, total := false, 0, uint64(0)
	at := 0
	var passed []byte // in front of the last answer to a ping of the gateway's
	from := 0         // where that ends
	forwarded := func() []byte { return slices.Concat(passed, stream[from:at]) }
	bad := func(v Violation) outcome {
		o.violation, o.forwarded = v, forwarded()
		return o
	}
	wait := func() outcome {
		o.forwarded, o.held = forwarded(), len(stream)-at
		return o
	}
	for {
		b := stream[at:]
		if len(b) < 2 {
			return wait()
		}
		fin, rsv1, rsv2, rsv3 := b[0]>>7&1 == 1, b[0]>>6&1 == 1, b[0]>>5&1 == 1, b[0]>>4&1 == 1
		opcode, masked, length7 := b[0]&0xf, b[1]>>7 == 1, b[1]&0x7f
		control := opcode >= 0x8

		if rsv2 || rsv3 { // 5.2: MUST be 0 unless an extension says otherwise
			return bad(ReservedBits)
		}
		if rsv1 && !(compressed && (opcode == text || opcode == bin)) && !(compressed && !control && opcode > bin) {
			return bad(ReservedBits) // RFC 7692, section 6: the first frame of a message only
		}
		switch opcode {
		case continuation, text, bin, closing, ping, pong:
		default:
			return bad(ReservedOpcode)
		}
		if fromClient && !masked { // 5.1
			return bad(Unmasked)
		}
		if !fromClient && masked {
			return bad(Masked)
		}
		if control && !fin { // 5.5
			return bad(FragmentedControl)
		}
		if control && length7 > 125 {
			return bad(LongControl)
		}
		if opcode == continuation && !inMessage { // 5.4
			return bad(StrayContinuation)
		}
		if (opcode == text || opcode == bin) && inMessage {
			return bad(MissingContinuation)
		}

		header := 2
		switch length7 {
		case 126:
			header += 2
		case 127:
			header += 8
			if len(b) > 2 && b[2] >= 0x80 { // the most significant bit MUST be 0
				return bad(LengthOverflow)
			}
		}
		key := header
		if masked {
			header += 4
		}
		if len(b) < key {
			return wait()
		}
		length := uint64(length7)
		switch length7 {
		case 126:
			if length = uint64(b[2])<<8 | uint64(b[3]); length < 126 { // the minimal number of bytes MUST be used
				return bad(LongLength)
			}
		case 127:
			length = 0
			for _, octet := range b[2:10] {
				length = length<<8 | uint64(octet)
			}
			if length < 1<<16 {
				return bad(LongLength)
			}
		}
		if len(b) < header {
			return wait()
		}

		if control {
			if len(b) < header+int(length) {
				return wait()
			}
			var body []byte
			for i, octet := range b[header : header+int(length)] {
				if masked { // 5.3
					octet ^= b[key+i%4]
				}
				body = append(body, octet)
			}
			if opcode == pong && rules.ping != 0 && len(body) == 8 && binary.BigEndian.Uint64(body) == rules.ping {
				passed = append(passed, stream[from:at]...)
				at += header + int(length)
				o.swallowed += header + int(length)
				from = at
				continue
			}
			if opcode != closing {
				at += header + int(length)
				o.counts.Controls++
				continue
			}
			// 5.5.1 and 7.4
			if len(body) == 1 {
				return bad(ShortClose)
			}
			if len(body) > 1 && !mayBeSent(int(body[0])<<8|int(body[1])) {
				return bad(CloseCode)
			}
			if len(body) > 2 && !utf8.Valid(body[2:]) {
				return bad(CloseReason)
			}
			o.close = b[:header+int(length)]
			at += len(o.close)
			o.counts.Controls++
			o.forwarded = forwarded()
			return o
		}

		if opcode != continuation {
			total = 0
		}
		total += length // below 2^64: a length is below 2^63, and so is what has come
		if rules.frame > 0 && length > uint64(rules.frame) {
			return bad(FrameSize)
		}
		if rules.message > 0 && total > uint64(rules.message) {
			return bad(MessageSize)
		}
		if opcode != continuation {
			if begun++; rules.messages > 0 && begun > rules.messages {
				return bad(MessageRate)
			}
		}

		at += header
		inMessage = true
		here := min(length, uint64(len(stream)-at))
		at += int(here)
		o.counts.Bytes += here
		if here < length {
			o.boundary, o.left = false, int64(length-here)
			return wait()
		}
		o.counts.Frames++
		if fin {
			inMessage = false
			o.counts.Messages++
		}
	}
}

// mayBeSent is RFC 6455, sections 7.4.1 and 7.4.2, with the codes that were registered later:
// 1004 is reserved; 1005, 1006 and 1015 MUST NOT be set.
func mayBeSent(code int) bool {
	switch code {
	case 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014:
		return true
	}
	return 3000 <= code && code < 5000
}
