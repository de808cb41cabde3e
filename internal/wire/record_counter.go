package wire

const (
	typeChangeCipherSpec = 20
	typeAlert            = 21
	typeHandshake        = 22
	typeData             = 23
	clientHello          = 1

	// helloSize is the length of a record with a hello up to the end of the random.
	helloSize = recordHeader + 4 + 2 + 32

	// maxKeptSent is the length of the longest sent record that is kept. Longer ones are
	// bulk. Every connection sends shorter ones: crypto/tls begins with 1.2 KiB of data,
	// and a KeyUpdate is 22 bytes.
	maxKeptSent = 2 << 10

	// A buffer has room for minBuffer bytes at least. One for more than maxIdleBuffer
	// bytes is replaced when the next record needs less.
	minBuffer, maxIdleBuffer = 256, 2 << 10

	// updateBody is the length of a record with a KeyUpdate and no padding (RFC 8446,
	// section 4.6.3), without the header.
	updateBody = 4 + 1 + 1 + 16
)

// Records describes the TLS records of one direction, from the first on. Records are
// numbered from 0.
type Records struct {
	Whole       bool     // the last one has ended
	Count       uint64   // of all of them
	FirstSealed uint64   // the number of the first after the last ChangeCipherSpec
	Last        []byte   // the last one with data, an alert or, behind a ChangeCipherSpec, a handshake message; of sent ones, the last of at most 2 KiB
	LastIndex   uint64   // the number of Last
	Random      [32]byte // of the hello, which was the first record

	// Updates are the numbers of the latest records that are as long as a KeyUpdate, in
	// no order. There were UpdateCount such records.
	Updates     []uint64
	UpdateCount uint64
}

// recordCounter counts the records of a stream that comes in pieces of any size.
type recordCounter struct {
	maxKept int // length of the longest record that is kept; 0 means any

	// The current record.
	head    [recordHeader]byte
	headLen int // bytes of head that have come
	left    int // bytes after the head that have not come
	keep    int // bytes to keep of the record, from its start

	hello  byte // type of the first handshake message
	random [32]byte

	count, firstSealed, lastIndex uint64
	last                          []byte
	updates                       [4]uint64 // a ring
	updateCount                   uint64
}

// add counts the next bytes of the stream. It keeps no reference to b.
func (m *recordCounter) add(b []byte) {
	for len(b) > 0 {
		if m.headLen < recordHeader {
			n := copy(m.head[m.headLen:], b)
			m.headLen += n
			b = b[n:]
			if m.headLen < recordHeader {
				return
			}
			m.startRecord()
		}
		n := min(m.left, len(b))
		if lacks := m.keep - len(m.last); lacks > 0 {
			m.last = append(m.last, b[:min(n, lacks)]...)
		}
		m.left -= n
		b = b[n:]
		if m.left == 0 {
			m.endRecord()
		}
	}
}

// missing returns how many bytes the current record lacks, as far as they are known: only
// those of the head while that is not complete.
func (m *recordCounter) missing() int {
	switch {
	case m.headLen == 0:
		return 0
	case m.headLen < recordHeader:
		return recordHeader - m.headLen
	}
	return m.left
}

// startRecord is called when the head is complete.
func (m *recordCounter) startRecord() {
	m.left = int(m.head[3])<<8 | int(m.head[4])
	n := recordHeader + m.left
	switch typ := m.head[0]; {
	case m.count == 0:
		m.keep = helloSize
	case typ != typeData && typ != typeAlert && !(typ == typeHandshake && m.firstSealed > 0), m.maxKept > 0 && n > m.maxKept:
		m.keep = 0
		return
	default:
		m.keep = n
	}
	if cap(m.last) < m.keep || m.keep <= maxIdleBuffer && cap(m.last) > maxIdleBuffer {
		m.last = make([]byte, 0, max(m.keep, minBuffer))
	}
	m.last = append(m.last[:0], m.head[:]...)
}

// endRecord is called when the record is complete.
func (m *recordCounter) endRecord() {
	if m.keep > 0 {
		m.lastIndex = m.count
	}
	if m.count == 0 && len(m.last) == helloSize {
		m.hello = m.last[recordHeader]
		copy(m.random[:], m.last[helloSize-len(m.random):])
	}
	if m.keep == recordHeader+updateBody {
		m.updates[m.updateCount%uint64(len(m.updates))] = m.count
		m.updateCount++
	}
	m.count++
	if m.head[0] == typeChangeCipherSpec {
		m.firstSealed = m.count
	}
	m.headLen, m.keep = 0, 0
}

// records returns what was counted. The caller owns its slices: m must not be used any
// more.
func (m *recordCounter) records() Records {
	return Records{
		Whole: m.headLen == 0, Count: m.count, FirstSealed: m.firstSealed,
		Last: m.last, LastIndex: m.lastIndex, Random: m.random,
		Updates: m.updates[:min(m.updateCount, uint64(len(m.updates)))], UpdateCount: m.updateCount,
	}
}
