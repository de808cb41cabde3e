//go:build unix

package integration

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
)

// Clients have to speak MQTT, and no message is larger than the limit.
func TestRecipeMQTT(t *testing.T) {
	t.Parallel()
	s := serve(t, "mqtt", map[string]string{"127.0.0.1:9001": application(t).Address})
	const host = "mqtt.example.com"
	p := echoes(t, s.at(host), host, "/mqtt", "Sec-WebSocket-Protocol: mqtt", "Sec-WebSocket-Extensions: permessage-deflate")
	if got := p.Head.Get("Sec-WebSocket-Protocol") + p.Head.Get("Sec-WebSocket-Extensions"); got != "mqtt" {
		t.Errorf("agreed on %q, want mqtt and no compression", got)
	}
	p.Send(ws.NewBinaryFrame(make([]byte, 256<<10+1)))
	p.ExpectClose(1009)
	if status := s.handshake(t, host, "/mqtt", "Sec-WebSocket-Protocol: chat"); status != 400 {
		t.Errorf("another protocol: status %d, want 400", status)
	}
	if r, _ := s.get(t, host, "/mqtt"); r.StatusCode != 426 {
		t.Errorf("a plain request: status %d, want 426", r.StatusCode)
	}
}

// The same with mosquitto and what the page has for it. It also answers the health check.
func TestRecipeMosquitto(t *testing.T) {
	t.Parallel()
	needCommands(t, "mosquitto")
	address := wstest.Reserve(t)
	config := readRecipe(t, "mqtt").blocks["text"][0]
	for from, to := range map[string]string{
		"listener 1883 ": "listener " + port(wstest.Reserve(t)) + " ", "listener 9001 ": "listener " + port(address) + " ",
		"allow_anonymous false\npassword_file /etc/mosquitto/passwd\n": "allow_anonymous true\n",
	} {
		if !strings.Contains(config, from) {
			t.Fatalf("%q is not in\n%s", from, config)
		}
		config = strings.Replace(config, from, to, 1)
	}
	dir := place(t, map[string]string{"mosquitto.conf": config})
	daemon(t, address, "mosquitto", "-c", filepath.Join(dir, "mosquitto.conf"))
	s := serve(t, "mqtt", map[string]string{"127.0.0.1:9001": address})
	p := wstest.Open(t, s.at("mqtt.example.com"), wstest.Handshake("/mqtt", "Host: mqtt.example.com", "Sec-WebSocket-Protocol: mqtt"))
	answers := map[string]string{
		"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a": "\x20\x02\x00\x00",     // CONNECT, CONNACK
		"\x82\x06\x00\x01\x00\x01t\x00":                 "\x90\x03\x00\x01\x00", // SUBSCRIBE, SUBACK
		"\x30\x05\x00\x01thi":                           "\x30\x05\x00\x01thi",  // PUBLISH, which comes back
		"\xc0\x00":                                      "\xd0\x00",             // PINGREQ, PINGRESP
	}
	for _, packet := range []string{"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a", "\x82\x06\x00\x01\x00\x01t\x00", "\x30\x05\x00\x01thi", "\xc0\x00"} {
		p.Send(ws.NewBinaryFrame([]byte(packet)))
		p.Expect(ws.NewBinaryFrame([]byte(answers[packet])))
	}
	for _, r := range s.log() {
		if r.name() == "endpoint is down" {
			t.Errorf("mosquitto does not pass the health check: %s", r.text("error"))
		}
	}
}

// noVNC's own server: what a VNC server says first arrives through it and below a path.
func TestRecipeWebsockify(t *testing.T) {
	t.Parallel()
	needCommands(t, "websockify")
	vnc, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { vnc.Close() })
	go func() {
		for {
			c, err := vnc.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "RFB 003.008\n")
			t.Cleanup(func() { c.Close() })
		}
	}()
	address := wstest.Reserve(t)
	daemon(t, address, "websockify", "--web", place(t, map[string]string{"vnc.html": "a desktop"}), address, vnc.Addr().String())
	s := serve(t, "novnc-jupyter", map[string]string{"127.0.0.1:6080": address, "127.0.0.1:8888": application(t).Address})
	if _, body := s.get(t, "lab.example.com", "/novnc/vnc.html"); body != "a desktop" {
		t.Errorf("the page is %q", body)
	}
	p := wstest.Open(t, s.at("lab.example.com"), wstest.Handshake("/novnc/websockify", "Host: lab.example.com", "Sec-WebSocket-Protocol: binary"))
	p.Expect(ws.NewBinaryFrame([]byte("RFB 003.008\n")))
}

// daemon runs a program until the test ends, and returns once it listens.
func daemon(t *testing.T, address, name string, args ...string) {
	t.Helper()
	var output bytes.Buffer
	cmd := wstest.DieWithParent(exec.Command(name, args...))
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed: nothing to learn
		if t.Failed() {
			t.Logf("%s %s wrote:\n%s", name, strings.Join(args, " "), &output)
		}
	})
	tick, guard := time.NewTicker(10*time.Millisecond), time.After(wstest.Guard)
	defer tick.Stop()
	for {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return
		}
		select {
		case <-tick.C:
		case <-guard:
			t.Fatalf("%s does not listen on %s", name, address)
		}
	}
}

// greeter is a server of gRPC on HTTP/2 in the clear: it sends each message back as it comes, and the
// status in trailers.
func greeter(t *testing.T) string {
	t.Helper()
	b := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		w.Header().Set("X-Proto", r.Proto)
		flush := http.NewResponseController(w).Flush
		_ = flush()
		for buffer := make([]byte, 1024); ; {
			n, err := r.Body.Read(buffer)
			_, _ = w.Write(buffer[:n])
			_ = flush()
			if err != nil {
				break
			}
		}
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	}))
	b.Config.Protocols = new(http.Protocols)
	b.Config.Protocols.SetUnencryptedHTTP2(true)
	b.Start()
	t.Cleanup(b.Close)
	return "h2c://" + b.Listener.Addr().String()
}

// browser is a client of a host of the gateway, over HTTP/2.
func (s recipeGateway) browser(t *testing.T, host string) *http.Client {
	t.Helper()
	target := s.at(host)
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialGuarded(ctx, network, target.Address)
		},
		TLSClientConfig: target.TLS, ForceAttemptHTTP2: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// Messages of a call flow both ways while it is open, and its status comes in trailers. A page of
// another host may make the call with gRPC-web.
func TestRecipeGRPC(t *testing.T) {
	t.Parallel()
	s := serve(t, "grpc", map[string]string{"h2c://10.0.0.41:50051": greeter(t), "h2c://10.0.0.42:50051": greeter(t)})
	const host, call = "grpc.example.com", "/greet.v1.Greeter/SayHello"
	reader, writer := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+host+call, reader)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}}
	r, err := s.browser(t, host).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.Proto != "HTTP/2.0" || r.Header.Get("X-Proto") != "HTTP/2.0" {
		t.Errorf("%s from the client, %s to the server; want HTTP/2.0", r.Proto, r.Header.Get("X-Proto"))
	}
	for _, message := range []string{"\x00\x00\x00\x00\x03ada", "\x00\x00\x00\x00\x05grace"} {
		if _, err := io.WriteString(writer, message); err != nil {
			t.Fatal(err)
		}
		if got, err := readBody(r.Body, int64(len(message))); got != message {
			t.Fatalf("%q came back as %q, %v", message, got, err)
		}
	}
	writer.Close()
	if rest, err := io.ReadAll(r.Body); len(rest) > 0 || err != nil || r.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("at the end: %q, %v, trailers %v", rest, err, r.Trailer)
	}
	const page = "Origin: https://app.example.com"
	preflight, _ := s.send(t, host, "OPTIONS "+call+" HTTP/1.1\r\nHost: gateway.test\r\n"+page+
		"\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type,x-grpc-web,x-user-agent\r\n\r\n")
	if allowed := strings.ToLower(preflight.Header.Get("Access-Control-Allow-Headers")); !strings.Contains(allowed, "x-grpc-web") {
		t.Errorf("a preflight request: status %d, %v", preflight.StatusCode, preflight.Header)
	}
	web, body := s.send(t, host, "POST "+call+" HTTP/1.1\r\nHost: gateway.test\r\nContent-Type: application/grpc-web+proto\r\n"+page+"\r\nContent-Length: 8\r\n\r\n\x00\x00\x00\x00\x03ada")
	if exposed := strings.ToLower(web.Header.Get("Access-Control-Expose-Headers")); body != "\x00\x00\x00\x00\x03ada" || !strings.Contains(exposed, "grpc-status") {
		t.Errorf("gRPC-web: %q, headers %v", body, web.Header)
	}
	if r, _ := s.get(t, host, "/other.Service/Call"); r.StatusCode != 404 {
		t.Errorf("another service: status %d, want 404", r.StatusCode)
	}
}

// Every event is at the client before the next one is made. Pages are compressed, events are not.
func TestRecipeServerSentEvents(t *testing.T) {
	t.Parallel()
	seen := make(chan struct{})
	news := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/events/") {
			fmt.Fprint(w, strings.Repeat("a page ", 1000))
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for n := range 3 {
			fmt.Fprintf(w, "data: %s %d\n\n", r.Header.Get("Last-Event-ID"), n)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-seen:
			case <-r.Context().Done():
				return
			}
		}
	})
	table := make(map[string]string)
	for _, address := range []string{"127.0.0.1:8000", "127.0.0.1:8001"} {
		b := httptest.NewServer(news)
		t.Cleanup(b.Close)
		table[address] = b.Listener.Addr().String()
	}
	s := serve(t, "server-sent-events", table)
	const host = "news.example.com"
	client := s.browser(t, host)
	ask := func(path string) *http.Response {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header = http.Header{"Last-Event-Id": {"41"}, "Accept-Encoding": {"gzip"}}
		r, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Body.Close() })
		return r
	}
	r := ask("/events/all")
	if r.Header.Get("Content-Encoding") != "" || r.Header.Get("Cache-Control") != "no-cache" || r.Proto != "HTTP/2.0" {
		t.Errorf("%s with %v", r.Proto, r.Header)
	}
	events := bufio.NewReader(r.Body)
	for n := range 3 {
		if line, err := events.ReadString('\n'); line != fmt.Sprintf("data: 41 %d\n", n) {
			t.Fatalf("event %d is %q, %v", n, line, err)
		}
		_, _ = events.ReadString('\n')
		seen <- struct{}{}
	}
	if rest, err := io.ReadAll(events); len(rest) > 0 || err != nil {
		t.Errorf("behind the events: %q, %v", rest, err)
	}
	if r := ask("/"); r.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("the page has Content-Encoding %q, want gzip", r.Header.Get("Content-Encoding"))
	}
}
