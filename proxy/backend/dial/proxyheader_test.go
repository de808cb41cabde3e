package dial

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
)

// prefixes starts a server that sends the first n bytes of each connection to
// heard, and then answers one HTTP request.
func prefixes(t *testing.T, n int) (address string, heard <-chan string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	all := make(chan string, 8)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				head := make([]byte, n)
				io.ReadFull(c, head)
				all <- string(head)
				if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Close: "+fmt.Sprint(r.Close)+"\r\n\r\nok")
				}
			})
		}
	})
	t.Cleanup(func() { ln.Close(); running.Wait() })
	return ln.Addr().String(), all
}

func TestPROXYHeaders(t *testing.T) {
	v2 := "\r\n\r\n\x00\r\nQUIT\n"
	parse := netip.MustParseAddrPort
	tests := []struct {
		name           string
		version        int
		client, server netip.AddrPort
		want           string
	}{
		{"v1", 1, parse("192.0.2.1:1000"), parse("192.0.2.2:443"), "PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\r\n"},
		{"v1 of IPv6", 1, parse("[2001:db8::1]:1000"), parse("[2001:db8::2]:443"), "PROXY TCP6 2001:db8::1 2001:db8::2 1000 443\r\n"},
		{"v1 of both families", 1, parse("[2001:db8::1]:1000"), parse("192.0.2.2:443"), "PROXY TCP6 2001:db8::1 ::ffff:192.0.2.2 1000 443\r\n"},
		{"v1 of both families, the other way", 1, parse("192.0.2.1:1000"), parse("[2001:db8::2]:443"), "PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1000 443\r\n"},
		{"v1 of an unknown client", 1, netip.AddrPort{}, parse("192.0.2.2:443"), "PROXY UNKNOWN\r\n"},
		{"v2", 2, parse("192.0.2.1:1000"), parse("192.0.2.2:443"), v2 + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x03\xe8\x01\xbb"},
		{"v2 of both families", 2, parse("[::ffff:192.0.2.1]:1"), parse("192.0.2.2:2"), v2 + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x00\x01\x00\x02"},
		{"v2 of an unknown client", 2, netip.AddrPort{}, netip.AddrPort{}, v2 + "\x20\x00\x00\x00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			address, heard := prefixes(t, len(tt.want))
			d := newDialer(t, Spec{Network: "tcp", Address: address, PROXY: tt.version})
			client := &Addresses{Client: tt.client, Server: tt.server}
			c, err := d.Dial(t.Context(), client)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if got := <-heard; got != tt.want {
				t.Errorf("Dial wrote %q; want %q", got, tt.want)
			}
			for range 2 { // each request has a connection of its own
				r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://a.test/", nil)
				res, err := d.RoundTrip(r, client)
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if got := <-heard; got != tt.want || res.Header.Get("X-Close") != "true" {
					t.Errorf("RoundTrip wrote %q with close %s; want %q and true", got, res.Header.Get("X-Close"), tt.want)
				}
			}
		})
	}
}
