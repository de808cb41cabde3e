package wire

const (
	typeChangeCipherSpec = 20
	typeAlert            = 21
	typeData             = 23
	clientHello          = 1

	// helloSize is the length of a hello up to the end of its random.
	helloSize = recordHeader + 4 + 2 + 32

	// maxOut is the length of the longest outgoing record that is kept. Longer
	// ones are bulk. Every connection sends shorter ones: crypto/tls begins
	// with 1.2 KiB of data and a KeyUpdate is 22 bytes.
	maxOut = 2 << 10
	// A buffer above roomy is not held for a record that is not, and none is
	// made below snug.
	snug, roomy = 256, 2 << 10
	// updateBody is the length of a record with a KeyUpdate and no padding (RFC
	// 8446, section 4.6.3), less its header.
	updateBody = 4 + 1 + 1 + 16
)

// Passed is the TLS records that went one way.
type Passed struct {
	Whole  bool     // the last one went by to its end
	Count  uint64   // of all of them
	Sealed uint64   // the number, from 0, of the first behind the last ChangeCipherSpec
	Last   []byte   // the last with data or an alert, whole; of those sent, the last of at most 2 KiB
	LastAt uint64   // its number
	Random [32]byte // of the hello, which was the first
	// Updates are the numbers of the latest records that are as long as a
	// KeyUpdate. There were Updated of them.
	Updates []uint64
	Updated uint64
}

// meter counts records in a stream, however it is cut.
type meter struct {
	limit  int // of records that are kept; 0 means none
	head   [recordHeader]byte
	have   int  // bytes of head
	left   int  // bytes of the record still to come, after its head
	want   int  // bytes of the record that are kept, from its start
	hello  byte // type of the first handshake message
	random [32]byte

	count, sealed, lastAt uint64
	last                  []byte
	updates               [4]uint64
	updated               uint64
}

// pass notes what went by.
func (m *meter) pass(b []byte) {
	for len(b) > 0 {
		if m.have < recordHeader {
			n := copy(m.head[m.have:], b)
			m.have += n
			b = b[n:]
			if m.have < recordHeader {
				return
			}
			m.begin()
		}
		n := min(m.left, len(b))
		if lacks := m.want - len(m.last); lacks > 0 {
			m.last = append(m.last, b[:min(n, lacks)]...)
		}
		m.left -= n
		b = b[n:]
		if m.left == 0 {
			m.end()
		}
	}
}

// rest returns how many bytes the record that is under way certainly lacks.
func (m *meter) rest() int {
	switch {
	case m.have == 0:
		return 0
	case m.have < recordHeader:
		return recordHeader - m.have
	}
	return m.left
}

func (m *meter) begin() {
	m.left = int(m.head[3])<<8 | int(m.head[4])
	n := recordHeader + m.left
	switch typ := m.head[0]; {
	case m.count == 0:
		m.want = helloSize
	case typ != typeData && typ != typeAlert, m.limit > 0 && n > m.limit:
		m.want = 0
		return
	default:
		m.want = n
	}
	if cap(m.last) < m.want || m.want <= roomy && cap(m.last) > roomy {
		m.last = make([]byte, 0, max(m.want, snug))
	}
	m.last = append(m.last[:0], m.head[:]...)
}

func (m *meter) end() {
	if m.want > 0 {
		m.lastAt = m.count
	}
	if m.count == 0 && len(m.last) == helloSize {
		m.hello = m.last[recordHeader]
		copy(m.random[:], m.last[helloSize-len(m.random):])
	}
	if m.want == recordHeader+updateBody {
		m.updates[m.updated%uint64(len(m.updates))] = m.count
		m.updated++
	}
	m.count++
	if m.head[0] == typeChangeCipherSpec {
		m.sealed = m.count
	}
	m.have, m.want = 0, 0
}

// passed returns what the meter shows. Last belongs to the caller from then on.
func (m *meter) passed() Passed {
	return Passed{
		Whole: m.have == 0, Count: m.count, Sealed: m.sealed,
		Last: m.last, LastAt: m.lastAt, Random: m.random,
		Updates: m.updates[:min(m.updated, uint64(len(m.updates)))], Updated: m.updated,
	}
}
