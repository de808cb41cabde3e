package admin

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Where says which gateway is meant.
type Where struct {
	Admin     string   // unix:/path, /path, host:port or a URL; "" means the Unix socket of Config
	Config    string   // configuration file of the gateway; "" means one of Defaults
	Defaults  []string // those files where nothing else is said, the first one that runs
	TokenFile string   // for TCP; "" means the environment variable SLUICE_ADMIN_TOKEN
	CACert    string   // PEM file of authorities for https; "" means those of the system
	Cert, Key string   // PEM files of a client certificate, which stands for a token; both or none

	dirs []string // in which sockets are looked for; nil means those of the environment
}

// Client asks the admin interface of one gateway.
type Client struct {
	http  *http.Client
	base  string // URL without a path
	token string
	where string // for messages
}

const (
	clientTimeout = time.Minute     // for an answer
	changeTimeout = 5 * time.Minute // for one that says what has changed: a reload waits for a restart, and that for a new process
)

// Find returns a client of the gateway that w means. It connects to nothing over TCP yet. If there
// is no socket, the error says where it was looked for.
func Find(w Where, getenv func(string) string) (*Client, error) {
	switch path, unix := strings.CutPrefix(w.Admin, "unix:"); {
	case w.Admin == "":
		return findSocket(w, getenv)
	case unix, strings.HasPrefix(w.Admin, "/"):
		return newUnixClient(path), nil
	}
	return newTCPClient(w, getenv)
}

// findSocket finds the socket of a configuration: of one that is named, or that the working directory has.
// Where there is none and no default one runs, it takes the only gateway that does.
func findSocket(w Where, getenv func(string) string) (*Client, error) {
	configs := w.Defaults
	if w.Config == "" && len(configs) > 0 && !filepath.IsAbs(configs[0]) {
		if _, err := os.Lstat(configs[0]); err == nil { // a file in the working directory is the one that is meant
			w.Config = configs[0]
		}
	}
	if w.Config != "" {
		configs = []string{w.Config}
	}
	var dirs, looked, others []string
	places := w.dirs
	if places == nil {
		places = runtimeDirs(getenv)
	}
	for _, dir := range places {
		if why := distrust(dir); why != "" {
			looked = append(looked, dir+" (passed over: "+why+")")
			continue
		}
		dirs = append(dirs, dir)
	}
	for _, config := range configs {
		for _, dir := range dirs {
			path := filepath.Join(dir, SocketName(config))
			if answers(path) {
				return newUnixClient(path), nil
			}
			looked = append(looked, path)
		}
	}
	for _, dir := range dirs {
		all, _ := filepath.Glob(filepath.Join(dir, "*.sock"))
		for _, other := range all {
			if answers(other) {
				others = append(others, other)
			}
		}
	}
	if w.Config == "" && len(others) == 1 {
		return newUnixClient(others[0]), nil
	}
	message := fmt.Sprintf("no gateway with the configuration %s answers: looked for %s", strings.Join(configs, " or "), strings.Join(looked, ", "))
	if len(others) > 0 {
		message += "; there are others, name one with --config or --admin: " + strings.Join(others, ", ")
	} else {
		message += "; does it run, as this user or as root, and without 'admin: off'?"
	}
	return nil, errors.New(message)
}

// distrust returns why another user may have put sockets into a directory, or "": a command must not
// believe them, or give them its token.
func distrust(dir string) string {
	info, err := os.Lstat(dir)
	if err != nil {
		return "" // there is nothing in it
	}
	switch owner := ownerOf(info); {
	case !info.IsDir():
		return "it is no directory"
	case info.Mode().Perm()&0o002 != 0, info.Mode().Perm()&0o020 != 0 && dir != systemDir:
		return "others may write to it"
	case dir != systemDir && owner > 0 && owner != os.Geteuid():
		return fmt.Sprintf("it belongs to user %d", owner)
	}
	return ""
}

// answers reports whether something accepts connections at a socket.
func answers(path string) bool {
	c, err := dialUnix(context.Background(), path)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func dialUnix(ctx context.Context, path string) (c net.Conn, err error) {
	wrong := withShortPath(path, func(short string) error {
		c, err = new(net.Dialer).DialContext(ctx, "unix", short)
		return err
	})
	return c, wrong
}

func newUnixClient(path string) *Client {
	return &Client{
		http: &http.Client{CheckRedirect: noRedirect, Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dialUnix(ctx, path) },
		}},
		base: "http://localhost", where: path,
	}
}

func newTCPClient(w Where, getenv func(string) string) (*Client, error) {
	base := w.Admin
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, fmt.Errorf("--admin %s: neither a socket (unix:/path) nor an address (host:port or a URL)", w.Admin)
	}
	token := getenv("SLUICE_ADMIN_TOKEN")
	if w.TokenFile != "" {
		text, err := os.ReadFile(w.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("--token-file: %w", err)
		}
		token = strings.TrimSpace(string(text))
	}
	secure, err := w.tls()
	if err != nil {
		return nil, err
	}
	if token == "" && w.Cert == "" {
		return nil, fmt.Errorf("--admin %s: over TCP a token is needed: name its file with --token-file, or set SLUICE_ADMIN_TOKEN; or a client certificate: --cert and --key", w.Admin)
	}
	return &Client{
		// No proxy of the environment gets the token.
		http: &http.Client{CheckRedirect: noRedirect, Transport: &http.Transport{TLSClientConfig: secure}}, base: u.Scheme + "://" + u.Host, token: token, where: w.Admin,
	}, nil
}

// noRedirect follows no redirect: the token is for the interface alone, which sends none.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// tls returns how https is spoken.
func (w *Where) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if w.CACert != "" {
		text, err := os.ReadFile(w.CACert)
		if err != nil {
			return nil, fmt.Errorf("--cacert: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--cacert: %s has no certificate in PEM", w.CACert)
		}
	}
	if w.Cert != "" || w.Key != "" {
		pair, err := tls.LoadX509KeyPair(w.Cert, w.Key)
		if err != nil {
			return nil, fmt.Errorf("--cert and --key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// Where returns where the client asks, for people.
func (c *Client) Where() string { return c.where }

// Do sends a request without a body and decodes the answer into to, as [Client.Send] does.
func (c *Client) Do(ctx context.Context, method, path string, parameters url.Values, to any) (status int, err error) {
	return c.Send(ctx, method, path, parameters, nil, to)
}

// Send sends a request and decodes the answer into to, unless that is nil. The body is JSON of
// what is given, none for nil. The status
// is 0 if there was no answer. What the interface refuses is an error that says what it said; an
// answer of status 422 or 503 that has the form of to is decoded all the same.
func (c *Client) Send(ctx context.Context, method, path string, parameters url.Values, body, to any) (status int, err error) {
	target := c.base + path
	if len(parameters) > 0 {
		target += "?" + parameters.Encode()
	}
	var text io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		text = bytes.NewReader(b)
	}
	timeout := clientTimeout
	if method == http.MethodPost {
		timeout = changeTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %v", timeout))
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, target, text)
	if err != nil {
		return 0, err
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(r)
	if err != nil {
		return 0, c.failed(cmp.Or(context.Cause(ctx), err))
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, mostAnswer))
	if err != nil {
		return res.StatusCode, c.failed(cmp.Or(context.Cause(ctx), err))
	}
	var refused Failure
	if res.StatusCode != http.StatusOK && json.Unmarshal(answer, &refused) == nil && refused.Error != "" {
		return res.StatusCode, c.failed(errors.New(refused.Error))
	}
	if res.StatusCode == http.StatusBadRequest && strings.Contains(string(answer), "HTTP request to an HTTPS server") {
		return res.StatusCode, c.failed(fmt.Errorf("it speaks TLS: write https://%s", strings.TrimPrefix(c.base, "http://")))
	}
	switch res.StatusCode {
	case http.StatusOK, http.StatusUnprocessableEntity, http.StatusServiceUnavailable:
	default:
		to = nil
	}
	if to == nil && res.StatusCode != http.StatusOK {
		return res.StatusCode, c.failed(fmt.Errorf("the answer is %s", res.Status))
	}
	if to != nil {
		if err := json.Unmarshal(answer, to); err != nil {
			return res.StatusCode, c.failed(fmt.Errorf("%s with an answer that is not understood: %w", res.Status, err))
		}
	}
	return res.StatusCode, nil
}

// Stream sends a GET request and calls each with every line of the answer, until that ends, each
// returns an error, or ctx ends.
func (c *Client) Stream(ctx context.Context, path string, parameters url.Values, each func(line string) error) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path+"?"+parameters.Encode(), nil)
	if err != nil {
		return err
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(r)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return c.failed(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		var refused Failure
		json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&refused)
		return c.failed(errors.New(cmp.Or(refused.Error, res.Status)))
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if err := each(lines.Text()); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	if err := lines.Err(); err != nil {
		return c.failed(err)
	}
	return c.failed(errors.New("the stream has ended: the gateway has stopped, or closed its interface"))
}

// TapLine is a line of a tap: a frame, or a word about the frames.
type TapLine struct {
	Frame
	TapNote
	JSON string `json:"-"` // the line as it came
}

// Tap shows the frames of a session, as [TapParameters] say: it calls each with every line until the
// session is over, each returns an error, or ctx ends. The error says why a tap has ended before its
// session.
func (c *Client) Tap(ctx context.Context, session string, how url.Values, each func(TapLine) error) error {
	over := false
	err := c.Stream(ctx, Path("sessions", session, "tap"), how, func(line string) error {
		l := TapLine{JSON: line}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			return fmt.Errorf("a line that is not understood: %w", err)
		}
		over = l.Over
		if err := each(l); err != nil || l.Stopped == "" {
			return err
		}
		return errors.New("the tap has ended: " + l.Stopped)
	})
	if over {
		return nil
	}
	return err
}

// failed returns an error that says where it happened.
func (c *Client) failed(err error) error {
	if inner, ok := errors.AsType[*url.Error](err); ok {
		err = inner.Err
	}
	return fmt.Errorf("admin interface at %s: %w", c.where, err)
}

const mostAnswer = 1 << 30 // bytes of an answer that are read

// Path returns the path of a resource whose parts may have any characters.
func Path(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(p))
	}
	return b.String()
}
