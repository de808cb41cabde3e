package frame

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Close codes that gobwas/ws does not name (IANA WebSocket Close Code Number Registry).
const (
	StatusServiceRestart ws.StatusCode = 1012
	StatusBadGateway     ws.StatusCode = 1014
)

// A Violation is a rule of RFC 6455 that a frame breaks, or a limit of the gateway that it is
// over.
type Violation uint8

const (
	None Violation = iota
	ReservedBits
	ReservedOpcode
	Unmasked
	Masked
	FragmentedControl
	LongControl
	StrayContinuation
	MissingContinuation
	LengthOverflow
	LongLength
	ShortClose
	CloseCode
	CloseReason
	FrameSize
	MessageSize
	MessageRate
	ByteRate
)

// String completes the sentence "the client sent ...".
func (v Violation) String() string {
	switch v {
	case None:
		return "valid frames"
	case ReservedBits:
		return "a frame with reserved bits set"
	case ReservedOpcode:
		return "a frame with a reserved opcode"
	case Unmasked:
		return "an unmasked frame"
	case Masked:
		return "a masked frame"
	case FragmentedControl:
		return "a fragmented control frame"
	case LongControl:
		return "a control frame of more than 125 bytes"
	case StrayContinuation:
		return "a continuation frame without a message to continue"
	case MissingContinuation:
		return "a new message inside a fragmented one"
	case LengthOverflow:
		return "a frame length above 2^63-1"
	case LongLength:
		return "a frame length in more bytes than it needs"
	case ShortClose:
		return "a close frame with half a code"
	case CloseCode:
		return "a close frame with a code that must not be sent"
	case CloseReason:
		return "a close frame with a reason that is not UTF-8"
	case FrameSize:
		return "a frame over the size limit"
	case MessageSize:
		return "a message over the size limit"
	case MessageRate:
		return "messages over the rate limit"
	case ByteRate:
		return "bytes over the rate limit"
	}
	return "an unknown violation"
}

// Code returns the close code for the side that sent it.
func (v Violation) Code() ws.StatusCode {
	switch v {
	case FrameSize, MessageSize:
		return ws.StatusMessageTooBig
	case MessageRate, ByteRate:
		return ws.StatusPolicyViolation
	case CloseReason:
		return ws.StatusInvalidFramePayloadData
	}
	return ws.StatusProtocolError
}

// ValidCode reports whether an endpoint may send code in a Close frame (RFC 6455, section
// 7.4, and the IANA registry).
func ValidCode(code ws.StatusCode) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014:
		return true
	}
	return code >= 3000 && code <= 4999
}

// checkClose checks the body of a Close frame, which is masked with mask.
func checkClose(body []byte, mask [4]byte) Violation {
	var plain [ws.MaxControlFramePayloadSize]byte
	p := plain[:copy(plain[:], body)]
	ws.Cipher(p, mask, 0)
	switch {
	case len(p) == 0:
		return None
	case len(p) == 1:
		return ShortClose
	case !ValidCode(ws.StatusCode(binary.BigEndian.Uint16(p))):
		return CloseCode
	case !utf8.Valid(p[2:]):
		return CloseReason
	}
	return None
}

// ParseClose reads a whole, valid Close frame, as [Direction.Next] covers it, and leaves its
// bytes as they are. The code is 1005 if the frame has none (RFC 6455, section 7.1.5).
func ParseClose(frame []byte) (code ws.StatusCode, reason string) {
	body, mask := frame[2:], [4]byte{}
	if frame[1]&bitMask != 0 {
		mask, body = [4]byte(body), body[4:]
	}
	if len(body) < 2 {
		return ws.StatusNoStatusRcvd, ""
	}
	plain := append([]byte(nil), body...)
	ws.Cipher(plain, mask, 0)
	return ws.StatusCode(binary.BigEndian.Uint16(plain)), string(plain[2:])
}

// AppendClose appends a Close frame to dst. A frame for a backend is masked with mask; for a
// client mask is nil. A reason of more than 123 bytes is cut, between characters.
func AppendClose(dst []byte, code ws.StatusCode, reason string, mask *[4]byte) []byte {
	const limit = ws.MaxControlFramePayloadSize - 2
	if len(reason) > limit {
		n := limit
		for n > 0 && !utf8.RuneStart(reason[n]) {
			n--
		}
		reason = reason[:n]
	}
	dst, body := appendControl(dst, ws.OpClose, 2+len(reason), mask)
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	dst = append(dst, reason...)
	if mask != nil {
		ws.Cipher(dst[body:], *mask, 0)
	}
	return dst
}

// AppendPing appends a ping with eight bytes of payload to dst, masked like the frame of
// [AppendClose].
func AppendPing(dst []byte, payload uint64, mask *[4]byte) []byte {
	dst, body := appendControl(dst, ws.OpPing, 8, mask)
	dst = binary.BigEndian.AppendUint64(dst, payload)
	if mask != nil {
		ws.Cipher(dst[body:], *mask, 0)
	}
	return dst
}

// appendControl appends the header of a control frame. Body is the index at which its payload
// begins.
func appendControl(dst []byte, op ws.OpCode, length int, mask *[4]byte) (out []byte, body int) {
	dst = append(dst, bitFin|byte(op), byte(length))
	if mask != nil {
		dst[len(dst)-1] |= bitMask
		dst = append(dst, mask[:]...)
	}
	return dst, len(dst)
}
