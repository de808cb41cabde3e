package wire

import (
	"net"

	"golang.org/x/sys/unix"
)

// tcpProgress returns the bytes that the peer's TCP has acknowledged and those
// that have come from it (RFC 4898, tcpEStatsAppHCThruOctetsAcked and
// tcpEStatsAppHCThruOctetsReceived), and those that wait for it here, about.
func tcpProgress(c *net.TCPConn) (taken, came, waiting int64, ok bool) {
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
