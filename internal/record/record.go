// Package record is the record layer of TLS after the handshake (RFC 8446, sections 4.6.3, 5
// and 6; RFC 5246, 5288 and 7905): ciphertext in, plaintext out, and back. It does no I/O and
// keeps no buffer. It knows the suites of TLS 1.3 and the AEAD suites of TLS 1.2, as server and
// as client. The handshake is left to crypto/tls; [Take] takes the keys from it.
package record

import (
	"crypto/tls"
	"fmt"
)

const (
	headerSize = 5
	tagSize    = 16
	explicit   = 8 // bytes of the nonce in a record of TLS 1.2 with AES-GCM

	maxPlain    = 1 << 14        // RFC 8446, section 5.1
	maxCipher13 = maxPlain + 256 // RFC 8446, section 5.2
	maxCipher12 = maxPlain + 2048

	// recordOverhead is how many bytes sealing adds to one record at most.
	recordOverhead = headerSize + explicit + tagSize
	// updateSize is the length of a record that holds a KeyUpdate.
	updateSize = headerSize + 5 + 1 + tagSize

	// AES-GCM may protect 2^24.5 records with one key (RFC 8446, section 5.5). TLS 1.3
	// changes keys before that; TLS 1.2 cannot. The sequence number, which makes the
	// nonce, comes near its end in neither.
	maxRecords  = 1 << 24
	maxSequence = 1 << 60

	// maxIdle is how many records without data a peer may send in one second: empty ones,
	// key updates, tickets, warnings. The limit is per time and not, as in crypto/tls, on
	// such records in a row: a session lives for days, and a flood may have a byte of data
	// between its records.
	maxIdle = 32
)

// Content types (RFC 8446, section 5.1).
const (
	typeChangeCipherSpec = 20
	typeAlert            = 21
	typeHandshake        = 22
	typeData             = 23
)

// A State is one TLS connection after its handshake, both directions. It holds no pointers and
// may lie anywhere in memory, also in that of another process. With a copy one can read and
// forge, and two copies in use would repeat nonces. It belongs to one goroutine at a time.
//
// Package fmt shows its version and its suite only.
type State struct {
	Version, Suite uint16

	client   bool   // this end is the client
	owed     bool   // the peer asked for an update of our keys before more data
	received bool   // a close_notify was received
	ended    bool   // nothing more is sealed: the last alert was sent, or a fatal one received
	idle     uint8  // records without content in this second
	second   uint32 // which one
	message  message
	in, out  directionKeys
}

// message is a handshake message of which a part has come. Its body is not kept.
type message struct {
	head [4]byte // type, length
	have uint8   // bytes of head
	left uint32  // bytes of the body to come
}

// Format keeps secrets out of what package fmt prints.
func (s State) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "%s %s", tls.VersionName(s.Version), tls.CipherSuiteName(s.Suite))
}

// IsClient reports whether this end is the client.
func (s *State) IsClient() bool { return s.client }

// Wipe overwrites the secrets. The [Ciphers] of s must be dropped with them.
func (s *State) Wipe() { *s = State{} }

// sealedSize returns how many bytes [State.Seal] appends for n bytes at most.
func sealedSize(n int) int {
	return n + (n+maxPlain-1)/maxPlain*recordOverhead + updateSize
}

// An Alert is a description of RFC 8446, section 6.
type Alert uint8

const (
	CloseNotify       Alert = 0
	UnexpectedMessage Alert = 10
	BadRecordMAC      Alert = 20
	RecordOverflow    Alert = 22
	IllegalParameter  Alert = 47
	DecodeError       Alert = 50
	ProtocolVersion   Alert = 70
	UserCanceled      Alert = 90
	NoRenegotiation   Alert = 100
)

// An AlertError ends a connection by an alert. If it is not Remote, the Alert has to be sent
// with [State.Alert] before the connection is closed; after a Remote one nothing is sent (RFC
// 8446, section 6.2).
type AlertError struct {
	Alert  Alert
	Remote bool   // the peer sent it
	reason string // of a local one
}

// FatalAlert marks the error for [wire.IsFatalAlert].
func (e *AlertError) FatalAlert() {}

func (e *AlertError) Error() string {
	if e.Remote {
		return fmt.Sprintf("TLS: the peer sent alert %d (%v)", e.Alert, tls.AlertError(e.Alert))
	}
	return fmt.Sprintf("TLS: the peer sent %s (alert %d)", e.reason, e.Alert)
}
