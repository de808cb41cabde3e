package record

import (
	"crypto/hmac"
	"crypto/tls"
	"slices"

	"sluice/internal/wire"
)

const (
	// maxHandshakeRecords is how many records of one side may belong to the handshake. Six
	// are usual; a chain of certificates can come in small pieces.
	maxHandshakeRecords = 64
	// maxUpdates is how many key updates before the take-over are followed.
	maxUpdates = 8
)

// Take takes the records of t over from crypto/tls. T must lie directly on a [wire.Conn] that
// captures ([wire.Conn.StartCapture]), its handshake must be over, it must have sent and received
// application data, and no other goroutine may use it.
//
// Early is the plaintext that t has decrypted and that no Read has returned. It comes before the
// first bytes that the State opens, and it is the caller's whether ok is true or not.
//
// If ok is true, the State is proven: with its keys and sequence numbers the last record of each
// direction is authentic. What the connection has read and not given to t stays there for
// [wire.Conn.Detach]. If Detach fails, t still works; once the State was used, t must not be used
// any more.
//
// If ok is false, t works as before, except that early was read from it. In every case the
// connection drops what it has captured.
func Take(t *tls.Conn) (s State, early []byte, ok bool) {
	c, ok := t.NetConn().(*wire.Conn)
	if !ok {
		return State{}, nil, false
	}
	defer c.DropCapture()
	about := t.ConnectionState()
	suite, ok := suiteOf(about.CipherSuite)
	if !ok || !about.HandshakeComplete || !c.Freeze() {
		return State{}, nil, false
	}
	early = drainPlaintext(t)
	capture, ok := c.TakeCapture()
	if !ok {
		return State{}, early, false
	}
	fromClient, fromServer := firstKeys(suite, &capture)
	capture.Secrets = wire.Secrets{}
	in, out := fromClient, fromServer
	if capture.Client {
		in, out = fromServer, fromClient
	}
	s = State{Version: about.Version, Suite: about.CipherSuite, client: capture.Client, in: in}
	peer := State{Version: about.Version, Suite: about.CipherSuite, client: !capture.Client, in: out}
	fromClient, fromServer, in, out = directionKeys{}, directionKeys{}, directionKeys{}, directionKeys{}
	last := capture.In.LastIndex+1 == capture.In.Count // what came after it could have changed everything
	if !last || !s.locate(suite, &capture.In) || !peer.locate(suite, &capture.Out) || peer.received {
		s.Wipe()
		peer.Wipe()
		return State{}, early, false
	}
	s.out = peer.in
	s.owed = false // crypto/tls has answered
	peer.Wipe()
	return s, early, true
}

// TakeFresh is [Take] right after the handshake, in which the connection below has given t one
// record at a time ([wire.Conn.OneRecord]): t has read nothing behind the peer's Finished. The State
// is proven: the last record of each direction is authentic, as a Finished, behind which the keys of
// the connection begin or, with TLS 1.2, one record under them; or as a session ticket under them.
//
// If ok is false, t works as before.
func TakeFresh(t *tls.Conn) (s State, ok bool) {
	c, ok := t.NetConn().(*wire.Conn)
	about := t.ConnectionState()
	suite, covered := suiteOf(about.CipherSuite)
	if !ok || !covered || !about.HandshakeComplete {
		return State{}, false
	}
	capture, ok := c.TakeCapture()
	if !ok || capture.In.LastIndex+1 != capture.In.Count || capture.Out.LastIndex+1 != capture.Out.Count {
		return State{}, false
	}
	in, out := firstKeys(suite, &capture)
	shakeIn, shakeOut := capture.Secrets.ClientHandshake, capture.Secrets.ServerHandshake
	capture.Secrets = wire.Secrets{}
	if capture.Client {
		in, out = out, in
		shakeIn, shakeOut = shakeOut, shakeIn
	}
	s = State{Version: about.Version, Suite: about.CipherSuite, client: capture.Client, in: in}
	peer := State{Version: about.Version, Suite: about.CipherSuite, client: !capture.Client, in: out}
	in, out = directionKeys{}, directionKeys{}
	defer peer.Wipe()
	if !s.begins(suite, shakeIn, &capture.In) || !peer.placed(suite, shakeOut, &capture.Out) {
		s.Wipe()
		return State{}, false
	}
	s.out = peer.in
	return s, true
}

// placed is locate or, where that finds nothing, begins. Most servers send a ticket last, and looking
// for that first spares dozens of tries under the keys of the handshake.
func (s *State) placed(suite suite, handshake [48]byte, p *wire.Records) bool {
	first := s.in
	defer func() { first = directionKeys{} }()
	if s.locate(suite, p) {
		return true
	}
	s.in = first
	return s.begins(suite, handshake, p)
}

// begins reports whether the last record of what s receives is authentic as a Finished, with TLS
// 1.3 under a secret of the handshake. Then s.in is for the first record behind it.
func (s *State) begins(suite suite, handshake [48]byte, p *wire.Records) bool {
	if !p.Whole {
		return false
	}
	var h Ciphers
	record := make([]byte, len(p.Last))
	if suite.version == tls.VersionTLS12 {
		s.in.sequence = p.LastIndex - p.FirstSealed
		copy(record, p.Last)
		typ, _, err := s.decrypt(&h.in, record)
		s.in.sequence++
		return p.LastIndex >= p.FirstSealed && err == nil && typ == typeHandshake
	}
	shake := State{Version: s.Version, Suite: s.Suite, in: directionKeys{secret: handshake}}
	defer shake.Wipe()
	if shake.in.derive(suite) != nil {
		return false
	}
	for n := range uint64(maxHandshakeRecords) {
		shake.in.sequence = n
		copy(record, p.Last)
		if typ, _, err := shake.decrypt(&h.in, record); err == nil {
			return typ == typeHandshake && s.in.derive(suite) == nil
		}
	}
	return false
}

// Covers reports whether a [State] can protect the records of t: whether it knows the cipher
// suite.
func Covers(t *tls.Conn) bool {
	_, ok := suiteOf(t.ConnectionState().CipherSuite)
	return ok
}

// drainPlaintext reads the plaintext that t has. Its connection is frozen, so that the last Read
// fails there. If t itself is at its end, the next Read tells so again.
func drainPlaintext(t *tls.Conn) (early []byte) {
	const room = 512
	for {
		early = slices.Grow(early, room)
		n, err := t.Read(early[len(early):cap(early)])
		early = early[:len(early)+n]
		if err != nil {
			break
		}
	}
	if len(early) == 0 {
		return nil
	}
	return early
}

// firstKeys makes the first keys of both directions from what the handshake has agreed on.
func firstKeys(s suite, t *wire.Capture) (fromClient, fromServer directionKeys) {
	if s.version == tls.VersionTLS13 {
		fromClient.secret, fromServer.secret = t.Secrets.Client, t.Secrets.Server
		return fromClient, fromServer
	}
	clientRandom, serverRandom := t.In.Random, t.Out.Random
	if t.Client {
		clientRandom, serverRandom = serverRandom, clientRandom
	}
	iv := len(fromClient.iv) - s.explicit()
	block := s.expand12(t.Secrets.Master[:], slices.Concat(serverRandom[:], clientRandom[:]), 2*(s.key+iv))
	defer clear(block)
	rest := block
	for _, part := range [][]byte{fromClient.key[:s.key], fromServer.key[:s.key], fromClient.iv[:iv], fromServer.iv[:iv]} {
		rest = rest[copy(part, rest):]
	}
	return fromClient, fromServer
}

// expand12 returns n bytes of the key block of TLS 1.2 (RFC 5246, sections 5 and 6.3).
func (s suite) expand12(master, seed []byte, n int) (out []byte) {
	seed = append([]byte("key expansion"), seed...)
	sum := func(b ...[]byte) []byte {
		h := hmac.New(s.hash, master)
		for _, b := range b {
			h.Write(b)
		}
		return h.Sum(nil)
	}
	for a := sum(seed); len(out) < n; a = sum(a) {
		out = append(out, sum(a, seed)...)
	}
	return out[:n]
}

// locate finds the keys and the sequence number with which the last record of what s receives
// is authentic, and moves on past all records that passed by. It is false if there are none, or
// if that record leaves open what comes next.
func (s *State) locate(suite suite, p *wire.Records) bool {
	var h Ciphers
	record := make([]byte, len(p.Last))
	if !p.Whole || !s.findKeys(&h, suite, p, record) {
		return false
	}
	copy(record, p.Last)
	_, err := s.Open(&h, record, 0)
	s.in.sequence += p.Count - p.LastIndex - 1
	return err == nil && s.message.have == 0
}

// findKeys sets s.in so that it opens the last record. Record has room for a copy of it.
func (s *State) findKeys(h *Ciphers, suite suite, p *wire.Records, record []byte) bool {
	fits := func(sequence uint64) bool {
		s.in.sequence = sequence
		copy(record, p.Last)
		_, _, err := s.decrypt(&h.in, record)
		return err == nil
	}
	if suite.version == tls.VersionTLS12 {
		return p.LastIndex >= p.FirstSealed && fits(p.LastIndex-p.FirstSealed)
	}
	if s.in.derive(suite) != nil {
		return false
	}
	for n := uint64(1); n <= min(p.LastIndex, maxHandshakeRecords); n++ {
		if fits(p.LastIndex - n) {
			return true
		}
	}
	for range min(p.UpdateCount, maxUpdates) {
		if s.in.update(suite) != nil {
			return false
		}
		h.in.aead = nil
		for _, at := range p.Updates {
			if at < p.LastIndex && fits(p.LastIndex-at-1) {
				return true
			}
		}
	}
	return false
}
