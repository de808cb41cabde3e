//go:build linux

package integration

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/wstest"
)

// A backend refuses a request while its body still comes, and resets the connection. The loops
// deliver all of its answer, and end the client's connection in good order (RFC 9112, section
// 9.6), also to clients that read nothing before they have sent everything: a reset would lose
// the answer. EARLY_ANSWERS is how many uploads of each kind there are, as in make early.
func TestEarlyAnswersOnTheLoops(t *testing.T) {
	if portable() {
		t.Skip("there are no loops")
	}
	t.Parallel()
	uploads := setting(t, "EARLY_ANSWERS", 20, strconv.Atoi)
	text := strings.Repeat("too big ", 2500) // as much as the socket of a client takes that reads nothing
	b := wstest.NewBackend(t, func(c *wstest.Conn) {
		if strings.Contains(c.Head.Start, "/large") {
			io.CopyN(io.Discard, c, 64<<10)
		}
		fmt.Fprintf(c, "HTTP/1.1 413 Content Too Large\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(text), text)
	})
	g := start(t, fmt.Sprintf("http: { engine: loops }\nroutes: [{ path: /*, backend: %s }]", b.Address))
	for scheme, target := range map[string]wstest.Target{"http": g.http, "https": g.https} {
		for _, size := range []struct {
			name          string
			pieces, piece int
		}{{"small", 4, 1 << 10}, {"large", 128, 64 << 10}} {
			for _, framing := range []string{"Content-Length", "chunked"} {
				t.Run(scheme+"/"+size.name+"/"+framing, func(t *testing.T) {
					if target.TLS != nil && tlsRecords() == "go" {
						t.Skip("net/http, which serves HTTP there, has read behind the last request")
					}
					request := earlyRequest("/"+size.name, framing == "chunked", size.pieces, size.piece)
					heard := 0
					for n := range uploads {
						small := size.name == "small" // it would be whole before the answer
						if err := refusedUpload(target, request, small || n%2 == 0, small, text); err != nil {
							t.Logf("upload %d: %v", n, err)
							continue
						}
						heard++
					}
					if heard != uploads {
						t.Errorf("%d of %d answers came whole, with an end in good order behind them", heard, uploads)
					}
				})
			}
		}
	}
}

// earlyRequest returns a POST whose body is so many pieces of that size, as it is written: the head
// first, and each piece by itself.
func earlyRequest(path string, chunked bool, pieces, size int) [][]byte {
	piece := bytes.Repeat([]byte("x"), size)
	length := fmt.Sprintf("Content-Length: %d", pieces*size)
	if chunked {
		length = "Transfer-Encoding: chunked"
		piece = slices.Concat(fmt.Appendf(nil, "%x\r\n", size), piece, []byte("\r\n"))
	}
	all := append([][]byte{[]byte(head("POST "+path+" HTTP/1.1", "Host: gateway.test", length))}, slices.Repeat([][]byte{piece}, pieces)...)
	if chunked {
		all = append(all, []byte("0\r\n\r\n"))
	}
	return all
}

// refusedUpload sends a request until that fails or nothing is left, and then reads the answer, which
// has to be a 413 with that text, up to the end of the connection. If waits is set, the second half
// is sent when the gateway has ended its stream behind the answer. If whole is set, all can be sent: the
// gateway takes it, and drops it.
func refusedUpload(target wstest.Target, request [][]byte, waits, whole bool, text string) error {
	raw, err := net.DialTimeout("tcp", target.Address, wstest.Guard)
	if err != nil {
		return err
	}
	defer raw.Close()
	c := wstest.Guarded(raw)
	if target.TLS != nil {
		s := tls.Client(c, target.TLS)
		if err := s.Handshake(); err != nil {
			return err
		}
		c = s
	}
	for i, piece := range request {
		if waits && i == len(request)/2 {
			if err := streamEnded(raw.(*net.TCPConn)); err != nil {
				return fmt.Errorf("no end of the answer: %w", err)
			}
		}
		if _, err := c.Write(piece); err != nil && whole {
			return fmt.Errorf("piece %d: %w", i, err)
		} else if err != nil {
			break
		}
	}
	all, err := io.ReadAll(c)
	if err != nil {
		return fmt.Errorf("%w behind %d bytes, which begin with %.30q", err, len(all), all)
	}
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(all)), nil)
	if err != nil {
		return err
	}
	switch got, err := io.ReadAll(r.Body); {
	case err != nil:
		return err
	case r.StatusCode != http.StatusRequestEntityTooLarge || string(got) != text || !r.Close:
		return fmt.Errorf("the answer is %s, with %d bytes; it is the last one: %t", r.Status, len(got), r.Close)
	}
	return nil
}

// streamEnded returns when the end of the peer's stream has come, behind what is to be read.
func streamEnded(c *net.TCPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(wstest.Guard)); err != nil {
		return err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		var ended int
		ended, failed = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}, 0)
		return ended > 0 || failed != nil
	})
	return cmp.Or(err, failed)
}
