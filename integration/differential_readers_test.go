package integration

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"sluice/internal/wstest"
)

// reader is a backend with an HTTP parser of another language, behind a gateway of its own. It
// answers each request with what it has read, and keeps that for [reader.seen].
type reader struct {
	name    string
	direct  string // its address
	gateway *gateway
	ask     *http.Client

	mu     sync.Mutex
	forced map[netip.Addr]bool // clients whose streams the test has ended
}

// entry is a request as a reader has read it. Each byte of it is a character of that number.
type entry struct {
	ID       int         `json:"id"`
	Method   string      `json:"method"`
	Target   string      `json:"target"`
	Fields   [][2]string `json:"fields"`
	Body     string      `json:"body"`
	Trailers [][2]string `json:"trailers"`
}

func (e entry) String() string {
	return fmt.Sprintf("%s %s %q, body %.100q, trailers %q", e.Method, e.Target, e.Fields, e.Body, e.Trailers)
}

// newReaders starts net/http, Node.js and h11, each behind a gateway.
func newReaders(t *testing.T) []*reader {
	t.Helper()
	needNode(t, "node:http")
	needPython(t, "h11")
	readers := []*reader{
		{name: "net/http", direct: goRecorder(t)},
		{name: "Node.js", direct: server(t, "node", testdata("recorder.mjs"))},
		{name: "h11", direct: server(t, python, testdata("recorder.py"))},
	}
	for _, r := range readers {
		r.forced = make(map[netip.Addr]bool)
		r.gateway = start(t, fmt.Sprintf("http: { engine: loops }\nroutes: [{ path: /*, backend: %s }]", r.direct))
		r.gateway.divert(func(record) {})
		transport := new(http.Transport)
		t.Cleanup(transport.CloseIdleConnections)
		r.ask = &http.Client{Transport: transport, Timeout: wstest.LongGuard}
	}
	return readers
}

// goRecorder is testdata/recorder.mjs for net/http. It returns its address.
func goRecorder(t *testing.T) string {
	t.Helper()
	var mu sync.Mutex
	journal := make(map[string][]entry)
	count := 0
	s := &http.Server{DisableGeneralOptionsHandler: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if client, ok := strings.CutPrefix(r.RequestURI, "/.recorded/"); ok {
			mu.Lock()
			defer mu.Unlock()
			if client == "" {
				_ = json.NewEncoder(w).Encode(journal)
			} else {
				_ = json.NewEncoder(w).Encode(journal[client])
			}
			delete(journal, client)
			return
		}
		client, _, _ := net.SplitHostPort(r.RemoteAddr)
		if client == "127.0.0.1" {
			client = r.Header.Get("X-Forwarded-For")
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		e := entry{Method: r.Method, Target: characters(r.RequestURI), Fields: pairs(r.Header), Body: characters(string(body)), Trailers: pairs(r.Trailer)}
		e.Fields = append(e.Fields, [2]string{"Host", characters(r.Host)})
		mu.Lock()
		count++
		e.ID = count
		journal[client] = append(journal[client], e)
		mu.Unlock()
		text, _ := json.Marshal(e)
		w.Header().Set("X-Recorded", fmt.Sprintf("%d %s", e.ID, e.Method))
		if e.ID%2 == 1 {
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		}
		_, _ = w.Write(text)
		_ = http.NewResponseController(w).Flush() // chunks otherwise
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

// characters returns a string with a character for each byte of s.
func characters(s string) string {
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

func pairs(h http.Header) (list [][2]string) {
	for name, values := range h {
		for _, value := range values {
			list = append(list, [2]string{name, characters(value)})
		}
	}
	return list
}

// heard is one answer, and the request that it answers if the reader has made it.
type heard struct {
	status  int
	entry   *entry // nil in a refusal
	refused string // by the reader: why
	closes  bool
}

func (h heard) String() string {
	if h.entry == nil {
		return strings.TrimSpace(fmt.Sprint(h.status, " ", h.refused))
	}
	return fmt.Sprintf("%s %s %.60q", h.entry.Method, h.entry.Target, h.entry.Body)
}

// reading is what became of a stream.
type reading struct {
	answers []heard // of the gateway
	seen    []entry // by the reader, in order
	forced  bool    // the test has ended the stream, maybe before its last answers
}

// certain returns the answers but for a refusal that may have come because the test has ended
// the stream.
func (r reading) certain() []heard {
	if n := len(r.answers); r.forced && n > 0 && r.answers[n-1].entry == nil {
		return r.answers[:n-1]
	}
	return r.answers
}

// Each stream has an address of its own for the gateway, and one for the reader itself.
const (
	ofGateway = 64
	ofReader  = 128
)

func (s stream) client(of byte) netip.Addr {
	return netip.AddrFrom4([4]byte{127, of | byte(s.number>>16)&63, byte(s.number >> 8), byte(s.number)})
}

// through sends a stream to the gateway.
func (r *reader) through(s stream) (reading, error) {
	client := s.client(ofGateway)
	text, forced, err := s.send(client, r.gateway.http.Address)
	if err != nil {
		return reading{}, err
	}
	if forced {
		r.mu.Lock()
		r.forced[client] = true
		r.mu.Unlock()
	}
	got := reading{forced: forced}
	if got.answers, err = readHeard(text); err != nil && !(forced && errors.Is(err, io.ErrUnexpectedEOF)) {
		return got, fmt.Errorf("answers %q behind %v: %w", text, got.answers, err)
	}
	got.seen, err = r.seen(client)
	return got, err
}

// directly sends a stream to the reader itself, and returns what that has seen. It may break
// the connection.
func (r *reader) directly(s stream) (reading, error) {
	client := s.client(ofReader)
	_, forced, err := s.send(client, r.direct)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		return reading{}, err
	}
	got := reading{forced: forced}
	got.seen, err = r.seen(client)
	return got, err
}

// late returns what was forwarded after its stream had come to an end that the gateway made.
func (r *reader) late() (late []entry, err error) {
	var left map[string][]entry
	if err := r.read("", &left); err != nil {
		return nil, err
	}
	for client, entries := range left {
		if a, err := netip.ParseAddr(client); err == nil && a.As4()[1]&^63 == ofGateway && !r.forced[a] {
			late = append(late, entries...)
		}
	}
	return late, nil
}

// send sends a stream from that address, and returns what comes back. It ends a stream in
// which the other side waits for more.
func (s stream) send(from netip.Addr, to string) (answers []byte, forced bool, err error) {
	dialer := net.Dialer{Timeout: wstest.Guard, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	c, err := dialer.Dial("tcp", to)
	if err != nil {
		return nil, false, err
	}
	defer c.Close()
	for _, piece := range s.pieces { // which the buffers of the system take, if nothing else does
		if _, err := io.WriteString(wstest.Guarded(c), piece); err != nil {
			break // it is closed already
		}
	}
	if s.whole {
		answers, err = io.ReadAll(wstest.Guarded(c))
		if errors.Is(err, syscall.ECONNRESET) { // what came behind the last request may have found it closed
			err = nil
		}
		return answers, false, err
	}
	answers, over := listen(c)
	if !over {
		_ = c.(*net.TCPConn).CloseWrite()
		rest, _ := listen(c)
		answers = append(answers, rest...)
	}
	return answers, !over, nil
}

// recordedAs is in the head of an answer of a reader: its number, and the method it answers.
var recordedAs = regexp.MustCompile(`\r\nX-Recorded: \d+ (\S+)`)

// readHeard reads the answers to a stream. The error is io.ErrUnexpectedEOF if the last one is
// cut.
func readHeard(text []byte) (all []heard, err error) {
	for len(text) > 0 {
		answer, _, _ := bytes.Cut(text, []byte("\r\n\r\n"))
		method := ""
		if m := recordedAs.FindSubmatch(answer); m != nil {
			method = string(m[1])
		}
		in := bytes.NewReader(text)
		buffered := bufio.NewReader(in)
		r, err := http.ReadResponse(buffered, &http.Request{Method: method})
		if err != nil {
			return all, err
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return all, err
		}
		text = text[len(text)-in.Len()-buffered.Buffered():]
		if r.StatusCode < 200 {
			continue
		}
		h := heard{status: r.StatusCode, refused: r.Header.Get("X-Refused"), closes: r.Close}
		if recorded := r.Header.Get("X-Recorded"); recorded != "" {
			h.entry = new(entry)
			if method != http.MethodHead {
				err = json.Unmarshal(body, h.entry)
			} else {
				_, err = fmt.Sscan(recorded, &h.entry.ID)
			}
			if err != nil {
				return all, err
			}
		}
		all = append(all, h)
	}
	return all, nil
}

// seen returns what the reader has read of a client since it was asked last, in order.
func (r *reader) seen(client netip.Addr) (entries []entry, err error) {
	err = r.read(client.String(), &entries)
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.ID, b.ID) })
	return entries, err
}

// read asks the reader for what it has kept of a client, or of all of them.
func (r *reader) read(client string, into any) error {
	a, err := r.ask.Get(fmt.Sprintf("http://%s/.recorded/%s", r.direct, client))
	if err != nil {
		return err
	}
	defer a.Body.Close()
	return json.NewDecoder(a.Body).Decode(into)
}

// common returns what all readers must have read of a request alike.
func (r *reader) common(e entry) entry {
	e.ID = 0
	e.Fields, e.Trailers = r.commonFields(e.Fields), r.commonFields(e.Trailers)
	return e
}

func (r *reader) commonFields(fields [][2]string) [][2]string {
	list := make([][2]string, 0, len(fields))
	for _, f := range fields {
		switch f[0] = strings.ToLower(f[0]); f[0] {
		case "content-length", "transfer-encoding", "trailer": // net/http keeps them elsewhere
		case "x-request-id", "x-forwarded-port", "x-forwarded-host", "forwarded": // of one gateway
		default:
			if f == [2]string{"host", r.direct} { // of a request without one
				f[1] = "@backend"
			}
			list = append(list, f)
		}
	}
	slices.SortStableFunc(list, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return list
}

// mark returns the mark of the request, or "" if it was damaged on purpose.
func (e entry) mark() string { return mark.FindString(decoded(e.Target)) }

// encoded is an encoded letter, digit or minus.
var encoded = regexp.MustCompile(`%(?:3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|2[Dd])`)

// decoded returns text as the gateway writes it on, where a mark is concerned: with its letters,
// digits and minus signs decoded (RFC 3986, section 6.2.2.2).
func decoded(text string) string {
	return encoded.ReplaceAllStringFunc(text, func(e string) string {
		b, _ := hex.DecodeString(e[1:])
		return string(b)
	})
}

// values returns the values of the fields of that name, in small letters.
func (e entry) values(name string) (values []string) {
	for _, f := range e.Fields {
		if strings.ToLower(f[0]) == name {
			values = append(values, f[1])
		}
	}
	return values
}
