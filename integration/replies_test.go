package integration

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
)

// reply is one answer with its whole body.
type reply struct {
	*http.Response
	body     string
	informed []int // codes of the informational answers before it
}

// readReplies reads answers until the connection ends. A connection that is
// still open after a guard's time is an error.
func readReplies(in *bufio.Reader, sent string) (replies []reply, err error) {
	method, _, _ := strings.Cut(sent, " ")
	for {
		var informed []int
		if _, err := in.Peek(1); err != nil {
			return replies, ended(err)
		}
		for {
			r, err := http.ReadResponse(in, &http.Request{Method: method})
			if err != nil {
				return replies, fmt.Errorf("not an answer: %w", err)
			}
			if r.StatusCode < 200 && r.StatusCode != http.StatusSwitchingProtocols {
				informed = append(informed, r.StatusCode)
				continue
			}
			b, err := io.ReadAll(r.Body)
			if r.StatusCode == http.StatusSwitchingProtocols {
				b, err = io.ReadAll(in)
				err = ended(err)
			}
			replies = append(replies, reply{r, string(b), informed})
			if errors.Is(err, syscall.ECONNRESET) && r.StatusCode >= 400 {
				return replies, nil // of all that was sent, not all was read
			}
			if err != nil {
				return replies, fmt.Errorf("a body that was cut: %w", err)
			}
			break
		}
		method = http.MethodGet // all that stands behind the first request
	}
}

// ended is nil for the end of a connection, in order or not.
func ended(err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return fmt.Errorf("the connection did not end: %w", err)
}

// marker is the request behind each case, which ends the connection.
const marker = "GET /@/marker HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n"
