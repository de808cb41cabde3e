package dial

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"
)

// writeProxyHeader writes a PROXY header of a version to c: with the client's
// addresses, or as LOCAL where they are unknown, as in health probes.
func writeProxyHeader(ctx context.Context, c net.Conn, version int, client *Addresses) error {
	header, err := proxyHeader(version, client)
	if err != nil {
		return fmt.Errorf("PROXY header: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { c.SetWriteDeadline(time.Unix(1, 0)) })
	_, err = c.Write(header)
	if !stop() {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("PROXY header: %w", err)
	}
	return nil
}

func proxyHeader(version int, client *Addresses) ([]byte, error) {
	h := proxyproto.Header{Version: byte(version), Command: proxyproto.LOCAL}
	if client.Client.IsValid() && client.Server.IsValid() {
		from, to := sameFamily(client.Client, client.Server)
		h.Command = proxyproto.PROXY
		h.TransportProtocol = proxyproto.TCPv4
		if from.Addr().Is6() {
			h.TransportProtocol = proxyproto.TCPv6
		}
		h.SourceAddr, h.DestinationAddr = net.TCPAddrFromAddrPort(from), net.TCPAddrFromAddrPort(to)
	}
	return h.Format()
}

// sameFamily returns both addresses as IPv4 or, if one of them is not, both as
// IPv6: a header has one family.
func sameFamily(a, b netip.AddrPort) (netip.AddrPort, netip.AddrPort) {
	x, y := a.Addr().Unmap().WithZone(""), b.Addr().Unmap().WithZone("")
	if x.Is4() != y.Is4() {
		x, y = netip.AddrFrom16(x.As16()), netip.AddrFrom16(y.As16())
	}
	return netip.AddrPortFrom(x, a.Port()), netip.AddrPortFrom(y, b.Port())
}
