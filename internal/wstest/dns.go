package wstest

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// DNS is a name server on loopback, over UDP and TCP.
type DNS struct {
	Address string // host:port

	udp     net.PacketConn
	tcp     net.Listener
	running sync.WaitGroup

	mu      sync.Mutex
	records map[string][]Record // by name, with the dot at its end
	asked   map[string]int
	broken  bool
	large   bool
	open    map[net.Conn]struct{}
}

// A Record is an address, or a service when Target is set.
type Record struct {
	IP                     netip.Addr
	Target                 string // with the dot at its end
	Port, Priority, Weight uint16
	TTL                    uint32 // in seconds
}

// NewDNS starts a server that knows no names. It stops when the test ends.
func NewDNS(t testing.TB) *DNS {
	t.Helper()
	tcp, udp := samePort(t)
	d := &DNS{
		Address: udp.LocalAddr().String(), udp: udp, tcp: tcp,
		records: make(map[string][]Record), asked: make(map[string]int), open: make(map[net.Conn]struct{}),
	}
	d.running.Go(d.serveUDP)
	d.running.Go(d.serveTCP)
	t.Cleanup(func() {
		udp.Close()
		tcp.Close()
		d.mu.Lock()
		for c := range d.open {
			c.Close()
		}
		d.mu.Unlock()
		d.running.Wait()
	})
	return d
}

// samePort listens on a port that is free for both.
func samePort(t testing.TB) (net.Listener, net.PacketConn) {
	t.Helper()
	for tries := 1; ; tries++ {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		if err == nil {
			return tcp, udp
		}
		tcp.Close()
		if tries == 10 {
			t.Fatal(err)
		}
	}
}

// maxDatagram is what goes over UDP, in bytes.
const maxDatagram = 1232

// Set replaces the records of a name, without a dot at its end.
func (d *DNS) Set(name string, records ...Record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.records[name+"."] = records
}

// Break makes the server fail, or work again.
func (d *DNS) Break(broken bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.broken = broken
}

// Truncate makes it answer over TCP only.
func (d *DNS) Truncate() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.large = true
}

// Asked returns how often a name was asked for.
func (d *DNS) Asked(name string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[name+"."]
}

func (d *DNS) serveUDP() {
	var b [512]byte
	for {
		n, from, err := d.udp.ReadFrom(b[:])
		if err != nil {
			return
		}
		if answer := d.answer(b[:n], true); answer != nil {
			d.udp.WriteTo(answer, from)
		}
	}
}

func (d *DNS) serveTCP() {
	for {
		c, err := d.tcp.Accept()
		if err != nil {
			return
		}
		d.mu.Lock()
		d.open[c] = struct{}{}
		d.mu.Unlock()
		d.running.Go(func() {
			defer func() {
				c.Close()
				d.mu.Lock()
				delete(d.open, c)
				d.mu.Unlock()
			}()
			for {
				var length [2]byte
				if _, err := io.ReadFull(c, length[:]); err != nil {
					return
				}
				q := make([]byte, binary.BigEndian.Uint16(length[:]))
				if _, err := io.ReadFull(c, q); err != nil {
					return
				}
				a := d.answer(q, false)
				if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...)); err != nil {
					return
				}
			}
		})
	}
}

func (d *DNS) answer(query []byte, udp bool) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	q := m.Questions[0]
	name := strings.ToLower(q.Name.String())
	d.asked[name]++
	records, known := d.records[name]
	m.Header = dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true, RecursionDesired: m.RecursionDesired, RecursionAvailable: true}
	m.Additionals = nil
	switch {
	case d.broken:
		m.RCode = dnsmessage.RCodeServerFailure
	case !known:
		m.RCode = dnsmessage.RCodeNameError
	case udp && d.large:
		m.Truncated = true
	default:
		for _, r := range records {
			if body := r.body(); body != nil && r.kind() == q.Type {
				m.Answers = append(m.Answers, dnsmessage.Resource{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: dnsmessage.ClassINET, TTL: r.TTL}, Body: body,
				})
			}
		}
	}
	b, err := m.Pack()
	if err == nil && udp && len(b) > maxDatagram {
		m.Truncated, m.Answers = true, nil
		b, err = m.Pack()
	}
	if err != nil {
		return nil
	}
	return b
}

func (r Record) kind() dnsmessage.Type {
	switch {
	case r.Target != "":
		return dnsmessage.TypeSRV
	case r.IP.Is4():
		return dnsmessage.TypeA
	}
	return dnsmessage.TypeAAAA
}

func (r Record) body() dnsmessage.ResourceBody {
	switch {
	case r.Target != "":
		target, err := dnsmessage.NewName(r.Target)
		if err != nil {
			return nil
		}
		return &dnsmessage.SRVResource{Priority: r.Priority, Weight: r.Weight, Port: r.Port, Target: target}
	case r.IP.Is4():
		return &dnsmessage.AResource{A: r.IP.As4()}
	}
	return &dnsmessage.AAAAResource{AAAA: r.IP.As16()}
}
