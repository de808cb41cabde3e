package record

import (
	"crypto/tls"

	"sluice/internal/codec"
)

// Carry writes the connection down, or reads one. Secrets are in what is written, and whoever reads it may go on
// only after nobody else will: sequence numbers must never be used twice.
func (s *State) Carry(c *codec.Coder) {
	codec.Number(c, &s.Version)
	codec.Number(c, &s.Suite)
	suite, ok := suiteOf(s.Suite)
	c.Check(ok && s.Version == suite.version, "a TLS version and suite that are not covered")
	for _, b := range [...]*bool{&s.client, &s.owed, &s.received, &s.ended} {
		c.Bool(b)
	}
	codec.Number(c, &s.idle)
	codec.Number(c, &s.second)
	c.Raw(s.message.head[:])
	codec.Number(c, &s.message.have)
	codec.Number(c, &s.message.left)
	c.Check(int(s.message.have) <= len(s.message.head), "more of a handshake header than it has")
	s.in.carry(c, s.Version)
	s.out.carry(c, s.Version)
}

func (k *directionKeys) carry(c *codec.Coder, version uint16) {
	if version == tls.VersionTLS13 {
		c.Raw(k.secret[:]) // others have none
	}
	c.Raw(k.key[:])
	c.Raw(k.iv[:])
	codec.Number(c, &k.sequence)
	c.Check(k.sequence <= maxSequence, "a record number that no connection has")
}
