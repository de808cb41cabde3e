package listen

import (
	"bufio"
	"net/netip"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"

	"sluice/internal/wire"
)

// readProxyHeader reads the PROXY header (versions 1 and 2) that a trusted proxy sends
// first, and sets the peer of c. It gives up after timeout, or when the listener is
// closed.
func (l *Listener) readProxyHeader(c *wire.Conn, timeout time.Duration) error {
	if err := c.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-l.closed:
			c.SetReadDeadline(time.Unix(1, 0))
		case <-done:
		}
	})
	stop := sync.OnceFunc(func() { close(done); watching.Wait() })
	defer stop()
	br := bufio.NewReader(c.Conn)
	h, err := proxyproto.Read(br)
	if err != nil {
		return err
	}
	var peer netip.AddrPort // stays invalid for a LOCAL header, which health checks send
	if src, _, ok := h.TCPAddrs(); ok && !h.Command.IsLocal() {
		p := src.AddrPort()
		peer = netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	ahead, _ := br.Peek(br.Buffered())
	c.SetPeer(peer, ahead)
	stop()
	return c.SetReadDeadline(time.Time{})
}
