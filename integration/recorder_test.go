package integration

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"sluice/internal/wstest"
)

// recorder is a backend that reads what sluice sends strictly by RFC 9112: only CRLF ends a
// line, there is one way to write a length, and no header of the client's connection is left.
// Anything else is a fault, which fails the test when it ends. A request without a fault is
// recorded and answered with 200 and X-Target.
type recorder struct {
	Address string

	t       testing.TB
	running sync.WaitGroup

	mu       sync.Mutex
	open     map[net.Conn]struct{} // nil once the test is over
	requests []recorded
	faults   []string
}

// recorded is one request as it came, its body decoded.
type recorded struct {
	wstest.Head
	Body     string
	Trailers []string
}

func newRecorder(t testing.TB) *recorder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{Address: l.Addr().String(), t: t, open: make(map[net.Conn]struct{})}
	r.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.running.Go(func() { r.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		r.mu.Lock()
		for c := range r.open {
			c.Close()
		}
		r.open = nil
		r.mu.Unlock()
		r.running.Wait()
		for _, fault := range r.faults {
			t.Errorf("at the backend: %s", fault)
		}
	})
	return r
}

func (r *recorder) serve(c net.Conn) {
	defer c.Close()
	r.mu.Lock()
	over := r.open == nil
	if !over {
		r.open[c] = struct{}{}
	}
	r.mu.Unlock()
	if over {
		return
	}
	defer func() {
		r.mu.Lock()
		delete(r.open, c)
		r.mu.Unlock()
	}()
	for in := bufio.NewReader(c); ; {
		q, err := readCanonical(in)
		var fault faultError
		switch {
		case errors.As(err, &fault):
			r.mu.Lock()
			r.faults = append(r.faults, fmt.Sprintf("%v after %q", fault, q))
			r.mu.Unlock()
			return
		case err != nil:
			return // cut, as the client's request was
		}
		method, target := q.target()
		switching := q.Get("Upgrade") != "" && strings.HasSuffix(target, "/accepted")
		if switching {
			if _, err := fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
				wstest.AcceptKey(q.Get("Sec-WebSocket-Key"))); err != nil {
				return
			}
		}
		r.mu.Lock()
		r.requests = append(r.requests, q)
		r.mu.Unlock()
		if switching { // what follows is the session's
			_, _ = in.Peek(1)
			return
		}
		status, body := "200 OK", target
		if q.Get("Upgrade") != "" {
			status = "403 Forbidden"
		}
		length := len(body)
		if method == "HEAD" {
			body = ""
		}
		if _, err := fmt.Fprintf(c, "HTTP/1.1 %s\r\nContent-Length: %d\r\nX-Target: %s\r\n\r\n%s", status, length, target, body); err != nil {
			return
		}
	}
}

// below returns the requests so far whose target starts with prefix.
func (r *recorder) below(prefix string) []recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []recorded
	for _, q := range r.requests {
		if _, target := q.target(); strings.HasPrefix(target, prefix) {
			found = append(found, q)
		}
	}
	return found
}

// all returns the requests so far.
func (r *recorder) all() []recorded { return r.below("") }

func (q recorded) target() (method, target string) {
	parts := strings.Split(q.Start, " ")
	return parts[0], parts[1]
}

// own are the headers that sluice adds about where a request came from.
var own = []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "Forwarded", "X-Real-IP", "X-Request-Id"}

// canonical is the request as the tables write it: the lines but sluice's own,
// Host first and the others sorted, an empty one, the body, and the trailers.
func (q recorded) canonical() string {
	lines := slices.DeleteFunc(slices.Clone(q.Lines), func(line string) bool {
		name, _, _ := strings.Cut(line, ":")
		return slices.ContainsFunc(own, func(o string) bool { return strings.EqualFold(o, name) })
	})
	return canonical(q.Start, lines, q.Body, q.Trailers)
}

func canonical(start string, lines []string, body string, trailers []string) string {
	lines, trailers = slices.Clone(lines), slices.Clone(trailers)
	for i, line := range lines { // names are compared in any case (RFC 9110, section 5.1)
		name, value, _ := strings.Cut(line, ":")
		lines[i] = http.CanonicalHeaderKey(name) + ":" + value
	}
	slices.Sort(lines)
	slices.Sort(trailers)
	text := strings.Join(append([]string{start}, lines...), "\n") + "\n\n" + body
	if len(trailers) > 0 {
		text += "\n\n" + strings.Join(trailers, "\n")
	}
	return text
}

// faultError is something that a canonical request does not have.
type faultError string

func (f faultError) Error() string { return string(f) }

var (
	startLine  = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+ (/[\\x21\\x22\\x24-\\x7e]*|\\*) HTTP/1\\.1$")
	headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
	digits     = regexp.MustCompile("^[0-9]{1,18}$")
	chunkSize  = regexp.MustCompile("^[0-9a-fA-F]{1,15}$")
	hostValue  = regexp.MustCompile(`^[0-9A-Za-z._~!$&'()*+;=%-]+(:[0-9]*)?$|^\[[0-9a-fA-F:.]+\](:[0-9]*)?$`)
)

// strictLine reads a line without its CRLF.
func strictLine(in *bufio.Reader) (string, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		if line != "" {
			return line, io.ErrUnexpectedEOF
		}
		return "", err
	}
	text, ok := strings.CutSuffix(line, "\r\n")
	if !ok {
		return "", faultError(fmt.Sprintf("a line that ends with a bare LF: %q", line))
	}
	return text, nil
}

func strictHeaders(in *bufio.Reader) ([]string, error) {
	var lines []string
	for {
		line, err := strictLine(in)
		if err != nil || line == "" {
			return lines, err
		}
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		if !ok || !headerName.MatchString(name) || strings.Trim(value, " \t") != value || strings.ContainsFunc(value, control) {
			return lines, faultError(fmt.Sprintf("header line %.200q", line))
		}
		lines = append(lines, line)
	}
}

func control(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// readCanonical reads one request. Another error than a faultError is the end
// of the connection.
func readCanonical(in *bufio.Reader) (q recorded, err error) {
	if q.Start, err = strictLine(in); err != nil {
		return q, err
	}
	if !startLine.MatchString(q.Start) {
		return q, faultError(fmt.Sprintf("request line %.200q", q.Start))
	}
	if q.Lines, err = strictHeaders(in); err != nil {
		return q, err
	}
	if host := q.Values("Host"); len(host) != 1 || host[0] != "" && !hostValue.MatchString(host[0]) {
		return q, faultError(fmt.Sprintf("Host %q", host))
	}
	for _, name := range []string{"Keep-Alive", "Proxy", "Proxy-Connection", "Proxy-Authorization", "HTTP2-Settings"} {
		if q.Values(name) != nil {
			return q, faultError("the client's " + name)
		}
	}
	options, upgrade := strings.ToLower(strings.Join(q.Values("Connection"), ",")), q.Values("Upgrade")
	switch {
	case upgrade != nil && (options != "upgrade" || !slices.Equal(upgrade, []string{"websocket"})):
		return q, faultError(fmt.Sprintf("Upgrade %q with Connection %q", upgrade, options))
	case upgrade == nil && !slices.Contains([]string{"", "close", "keep-alive", "te"}, options):
		return q, faultError(fmt.Sprintf("Connection %q", options))
	}
	lengths, codings := q.Values("Content-Length"), q.Values("Transfer-Encoding")
	switch {
	case lengths != nil && codings != nil:
		return q, faultError("Content-Length and Transfer-Encoding")
	case codings != nil:
		if !slices.Equal(codings, []string{"chunked"}) {
			return q, faultError(fmt.Sprintf("Transfer-Encoding %q", codings))
		}
		q.Body, q.Trailers, err = strictChunks(in)
	case lengths != nil:
		if len(lengths) != 1 || !digits.MatchString(lengths[0]) {
			return q, faultError(fmt.Sprintf("Content-Length %q", lengths))
		}
		var n int64
		if n, err = strconv.ParseInt(lengths[0], 10, 64); err == nil {
			q.Body, err = readBody(in, n)
		}
	}
	return q, err
}

func readBody(in io.Reader, n int64) (string, error) {
	var b strings.Builder
	_, err := io.CopyN(&b, in, n)
	return b.String(), err
}

func strictChunks(in *bufio.Reader) (body string, trailers []string, err error) {
	for {
		line, err := strictLine(in)
		if err != nil {
			return body, nil, err
		}
		if !chunkSize.MatchString(line) {
			return body, nil, faultError(fmt.Sprintf("chunk size %q", line))
		}
		n, _ := strconv.ParseInt(line, 16, 64) // the pattern keeps it in range
		if n == 0 {
			break
		}
		part, err := readBody(in, n)
		body += part
		if err != nil {
			return body, nil, err
		}
		if end, err := strictLine(in); err != nil || end != "" {
			return body, nil, errors.Join(err, faultError(fmt.Sprintf("%q behind a chunk", end)))
		}
	}
	if trailers, err = strictHeaders(in); err != nil {
		return body, trailers, err
	}
	for _, name := range []string{"Content-Length", "Transfer-Encoding", "Host", "Authorization", "Trailer", "Connection", "X-Forwarded-For", "Cookie"} {
		if (wstest.Head{Lines: trailers}).Values(name) != nil {
			return body, trailers, faultError(name + " in the trailers")
		}
	}
	return body, trailers, nil
}

// answers sends bytes as they are and reads what comes back until the end of the connection.
// The bytes must make the gateway end it; or this side ends first.
func answers(t testing.TB, target wstest.Target, sent string, end bool) []reply {
	t.Helper()
	p := wstest.Dial(t, target)
	defer p.Close()
	// Writing fails if the gateway has closed the connection already.
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = io.WriteString(p.Conn, sent)
		if end {
			_ = p.CloseWrite()
		}
	}()
	replies, err := readReplies(bufio.NewReader(wstest.Guarded(p.Conn.Conn)), sent)
	p.Close()
	<-written
	if err != nil {
		t.Errorf("behind %d answers: %v", len(replies), err)
	}
	return replies
}
