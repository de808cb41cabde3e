package integration

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"sluice/internal/wstest"
)

// Variables that make this binary an endpoint instead of tests.
const (
	endpointAddress = "SLUICE_TEST_ENDPOINT"
	endpointMode    = "SLUICE_TEST_ENDPOINT_MODE"
)

// endpointMain is a backend in a process of its own: it answers requests with
// its address and echoes messages, or behaves badly as the mode says.
func endpointMain(address, mode string) int {
	l, err := net.Listen("tcp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(l.Addr())
	if mode == "reset" {
		for {
			c, err := l.Accept()
			if err != nil {
				return 1
			}
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
	}
	err = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case mode == "500":
			w.WriteHeader(http.StatusInternalServerError)
		case mode == "slow":
			<-r.Context().Done()
		case r.Header.Get("Upgrade") == "":
			io.WriteString(w, l.Addr().String())
		default:
			echoMessages(w, r)
		}
	}))
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func echoMessages(w http.ResponseWriter, r *http.Request) {
	c, _, _, err := ws.UpgradeHTTP(r, w)
	if err != nil {
		return
	}
	defer c.Close()
	for {
		p, op, err := wsutil.ReadClientData(c)
		if err != nil || wsutil.WriteServerMessage(c, op, p) != nil {
			return
		}
	}
}

// endpoint is a running endpointMain.
type endpoint struct {
	address string
	t       testing.TB
	cmd     *exec.Cmd
}

// startEndpoint starts one on an address and waits until it listens. It is killed
// when the test ends.
func startEndpoint(t testing.TB, address, mode string) *endpoint {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	e := &endpoint{t: t, cmd: wstest.DieWithParent(exec.Command(self))}
	e.cmd.Env = append(environment(), endpointAddress+"="+address, endpointMode+"="+mode)
	e.cmd.Stderr = os.Stderr
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("an endpoint on %s does not listen: %v", address, err)
	}
	e.address = line[:len(line)-1]
	return e
}

// startEndpoints starts n on ports of their own.
func startEndpoints(t testing.TB, n int) (all []*endpoint) {
	t.Helper()
	for range n {
		all = append(all, startEndpoint(t, wstest.Reserve(t), ""))
	}
	return all
}

// kill ends the process as kill -9 does. A second call does nothing.
func (e *endpoint) kill() {
	_ = e.cmd.Process.Kill()
	_ = e.cmd.Wait()
}

// answer is what the gateway answers to a GET.
func answer(t testing.TB, g *gateway) (status int, body string) {
	t.Helper()
	r, body := wstest.Ask(t, g.http, get("/"))
	return r.StatusCode, body
}

// addresses lists those of endpoints, as in a configuration.
func addresses(all []*endpoint) string {
	var list []string
	for _, e := range all {
		list = append(list, e.address)
	}
	return strings.Join(list, ", ")
}
