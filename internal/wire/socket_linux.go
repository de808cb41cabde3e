package wire

import (
	"math"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Gone reports whether the peer has closed the connection, or its direction of it. It does
// not read: bytes before the end stay in the socket. It returns false if that cannot be
// known.
func (c *Conn) Gone() bool { return c.poll(unix.POLLRDHUP) }

// Readable reports whether a Read of the socket would not wait. It returns false if that
// cannot be known.
func (c *Conn) Readable() bool { return c.poll(unix.POLLIN) }

// poll reports whether the socket has one of the events or an error now. A socket that was
// closed has.
func (c *Conn) poll(events int16) bool {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	ready := false
	err = raw.Control(func(s uintptr) {
		fds := []unix.PollFd{{Fd: int32(s), Events: events}}
		n, err := unix.Poll(fds, 0)
		ready = err == nil && n > 0
	})
	return ready || err != nil
}

// tcpProgress returns how many bytes the peer's TCP has acknowledged and sent in all (RFC
// 4898, tcpEStatsAppHCThruOctetsAcked and tcpEStatsAppHCThruOctetsReceived), and about how
// many wait for it here.
func tcpProgress(c tcpSocket) (taken, received, waiting int64, ok bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, 0, 0, false
	}
	var info *unix.TCPInfo
	if ctl := raw.Control(func(s uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(s), unix.IPPROTO_TCP, unix.TCP_INFO)
	}); ctl != nil || err != nil {
		return 0, 0, 0, false
	}
	waiting = int64(info.Notsent_bytes) + int64(info.Unacked)*int64(info.Snd_mss)
	return int64(info.Bytes_acked), int64(info.Bytes_received), waiting, true
}

func setUserTimeout(c tcpSocket, d time.Duration) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	ms := int(min((d-1)/time.Millisecond+1, math.MaxInt32))
	if ctl := raw.Control(func(s uintptr) {
		err = unix.SetsockoptInt(int(s), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, ms)
	}); ctl != nil {
		return ctl
	}
	return err
}
