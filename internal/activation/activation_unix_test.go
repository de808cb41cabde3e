//go:build unix

package activation

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMain is the process that sockets are passed to, where a test has started it: it
// prints the sockets that it gets and what keeps it from that.
func TestMain(m *testing.M) {
	if os.Getenv("ACTIVATED") == "" {
		os.Exit(m.Run())
	}
	if os.Getenv("WITHOUT_IPV6") != "" {
		restartWithoutIPv6()
	}
	s, err := Inherit()
	fmt.Println("error:", err)
	fmt.Println("variables:", os.Getenv("LISTEN_PID")+os.Getenv("LISTEN_FDS")+os.Getenv("LISTEN_FDNAMES"))
	for _, unused := range s.Unused(nil) {
		fmt.Println("socket:", unused)
	}
	for _, address := range os.Args[1:] {
		network, address, _ := strings.Cut(address, " ")
		l, err := s.Listen(network, address)
		if err != nil {
			fmt.Println("listen:", err)
		}
		if l == nil {
			fmt.Println("none:", address)
			continue
		}
		l.Close() // the socket lives on
		if l, err = s.Listen(network, address); err != nil {
			fmt.Println("listen again:", err)
		}
		c, err := l.Accept() // what the test has dialed
		if err != nil {
			fmt.Println("accept:", err)
			continue
		}
		c.Close()
		fmt.Println("accepted:", address)
	}
}

// activate runs a process that gets files as systemd passes them, and returns what it
// prints. Variables are set as setting says.
func activate(t *testing.T, setting string, files []*os.File, addresses ...string) []string {
	t.Helper()
	cmd := exec.Command("/bin/sh", append([]string{"-c", setting + ` exec "$0" "$@"`, os.Args[0]}, addresses...)...)
	cmd.Env = append(os.Environ(), "ACTIVATED=1")
	cmd.ExtraFiles = files
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// passing sets the variables for a number of sockets with names.
const passing = "export LISTEN_PID=$$ LISTEN_FDS=%d LISTEN_FDNAMES=%s;"

// file returns a socket as a file, and closes what it was.
func file(t *testing.T, l interface {
	File() (*os.File, error)
	Close() error
}) *os.File {
	t.Helper()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close(); l.Close() })
	return f
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t *testing.T, network, address string) {
	t.Helper()
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
}

func TestSocketsArePassed(t *testing.T) {
	tcp := listen(t, "tcp", "127.0.0.1:0").(*net.TCPListener)
	all := listen(t, "tcp", ":0").(*net.TCPListener)
	path := filepath.Join(t.TempDir(), "s")
	local := listen(t, "unix", path).(*net.UnixListener)
	_, port, _ := net.SplitHostPort(all.Addr().String())
	_, other, _ := net.SplitHostPort(tcp.Addr().String())
	dial(t, "tcp", tcp.Addr().String())
	dial(t, "tcp", "127.0.0.1:"+port)
	dial(t, "unix", path)
	out := activate(t, fmt.Sprintf(passing, 3, "web.socket::local"), []*os.File{file(t, tcp), file(t, all), file(t, local)},
		"tcp "+tcp.Addr().String(), "tcp :"+port, "unix "+path, "tcp 127.0.0.1:"+port, "tcp :"+other, "unix "+path+"2")
	want := []string{
		"error: <nil>", "variables: ",
		fmt.Sprintf("socket: %s (web.socket)", tcp.Addr()), fmt.Sprintf("socket: %s (unknown)", all.Addr()), fmt.Sprintf("socket: %s (local)", path),
		"accepted: " + tcp.Addr().String(), "accepted: :" + port, "accepted: " + path,
		"none: 127.0.0.1:" + port, "none: :" + other, "none: " + path + "2",
	}
	if !slices.Equal(out, want) {
		t.Errorf("it printed\n%s\nwant\n%s", strings.Join(out, "\n"), strings.Join(want, "\n"))
	}
}

func TestWhatIsNotPassed(t *testing.T) {
	tcp := listen(t, "tcp", "127.0.0.1:0").(*net.TCPListener)
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	plain, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	tests := []struct {
		name, setting string
		file          *os.File
		want          string // of the error; "" is none, and no socket
	}{
		{"no variables", "", file(t, tcp), "<nil>"},
		{"for another process", "export LISTEN_PID=1 LISTEN_FDS=1;", file(t, tcp), "<nil>"},
		{"no number of a process", "export LISTEN_PID= LISTEN_FDS=1;", file(t, tcp), "<nil>"},
		{"no number of sockets", "export LISTEN_PID=$$ LISTEN_FDS=x;", file(t, tcp), `LISTEN_FDS of the service manager is "x": want the number of sockets`},
		{"too many", "export LISTEN_PID=$$ LISTEN_FDS=1025;", file(t, tcp), `LISTEN_FDS of the service manager is "1025"`},
		{"fewer than zero", "export LISTEN_PID=$$ LISTEN_FDS=-1;", file(t, tcp), `LISTEN_FDS of the service manager is "-1"`},
		{"a file", fmt.Sprintf(passing, 1, "x.socket"), plain, "descriptor 3 (x.socket) of the service manager: it is no socket"},
		{"packets", fmt.Sprintf(passing, 1, ""), file(t, packets.(*net.UDPConn)), "descriptor 3 (unknown) of the service manager: it is no socket that listens for streams"},
		{"a connection", fmt.Sprintf(passing, 1, "x"), file(t, client.(*net.TCPConn)), "it is no socket that listens for streams: the socket unit needs ListenStream= and Accept=no"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := activate(t, tt.setting, []*os.File{tt.file})
			if len(out) != 2 || !strings.Contains(out[0], "error: ") || !strings.Contains(out[0], tt.want) || strings.TrimSpace(out[1]) != "variables:" {
				t.Errorf("it printed %q, want the error %q, no variables and no socket", out, tt.want)
			}
		})
	}
}

func TestNoSockets(t *testing.T) {
	var none *Sockets
	if l, err := none.Listen("tcp", ":80"); l != nil || err != nil {
		t.Errorf("it listens: %v, %v", l, err)
	}
	if none.Addresses() != nil || none.Unused(nil) != nil {
		t.Error("it has sockets")
	}
}
