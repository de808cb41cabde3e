package takeover

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/internal/codec"
)

// part is what a process of these tests is told, in its environment.
type part struct {
	Side     string // "old" or "new"
	Stop     string // the step at which it says so and waits for a line
	Sessions int    // old: descriptors 5 and up
	PerBatch int    // old: sessions in a batch at most
	Padding  int    // old: bytes in the state of a session
	Refuse   []int  // new: sessions that it does not take
	Limit    uint64 // new: how many descriptors it may still open, 0 for as many as here
	Room     int    // new: what it says instead of that limit
	Step     time.Duration
}

const partVariable = "TAKEOVER_TEST_PART"

func TestMain(m *testing.M) {
	if text := os.Getenv(partVariable); text != "" {
		var p part
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			panic(err)
		}
		(&process{part: p, in: bufio.NewScanner(os.Stdin)}).run()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A process is one side. It answers what comes on its sessions with the first letter of its name.
type process struct {
	part
	in      *bufio.Scanner
	live    []*echo
	refused []*echo
	batch   []*echo // stopped, or not yet its own
	batches int
}

// reach stops at a step if it is the one of this test.
func (p *process) reach(step string) {
	if step == p.Stop {
		fmt.Println("at", step)
		p.in.Scan()
	}
}

func (p *process) run() {
	conn := must(fileConn(3))
	if p.Side == "old" {
		for i := range p.Sessions {
			p.live = append(p.live, newEcho(i, p.Side, 5+i, must(unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0))))
		}
		for _, e := range p.live {
			e.start()
		}
	}
	before := openFiles()
	if p.Limit > 0 {
		leaveFree(p.Limit)
	}
	fmt.Println("up")
	p.in.Scan()
	d := Deadlines{Prepare: p.Step, Step: p.Step}
	var err error
	if p.Side == "old" {
		p.reach("start")
		err = Give(context.Background(), conn, p.giver(), d)
	} else {
		err = Take(context.Background(), conn, p.taker(), d)
	}
	fmt.Println("ended", err)
	for p.in.Scan() { // each line asks for the descriptors
		fmt.Println("files", openFiles()-before)
	}
}

func (p *process) giver() Giver {
	return Giver{
		Clock:       12345,
		Descriptors: 2 * p.Sessions,
		State: func(c *codec.Coder) {
			p.reach("state")
			c.Text(new("the gateway's"), 100)
		},
		Listeners: []Listener{{Name: "web", Kind: "tcp", File: 4}},
		Opened:    func() { p.reach("opened") },
		Next: func(b *Batch) error {
			p.batches++
			p.reach(fmt.Sprint("next ", p.batches))
			p.batch = nil
			for len(p.live) > 0 && b.Len() < p.PerBatch {
				e := p.live[0]
				e.stop()
				if !b.Add(func(c *codec.Coder) {
					codec.Number(c, &e.id)
					c.Bytes(new(make([]byte, p.Padding)), 1<<20)
				}, e.files[:]...) {
					e.start()
					break
				}
				p.batch, p.live = append(p.batch, e), p.live[1:]
			}
			p.reach(fmt.Sprint("stopped ", p.batches))
			return nil
		},
		Settled: func(given []bool) {
			p.reach(fmt.Sprint("settled ", p.batches))
			for i, e := range p.batch {
				if given[i] {
					e.close()
				} else {
					p.refused = append(p.refused, e)
					e.start()
				}
			}
		},
		Stopping: func() bool { return true },
		Done:     func() { p.reach("done") },
		Rest:     func(c *codec.Coder) { c.Text(new("the rest"), 100) },
	}
}

func (p *process) taker() Taker {
	return Taker{
		Opened: func() {},
		Prepare: func(ctx context.Context, clock int64) (int, error) {
			p.reach("prepare")
			if clock != 12345 {
				return 0, fmt.Errorf("the clock is %d", clock)
			}
			if p.Room > 0 {
				return p.Room, nil
			}
			if p.Limit > 0 {
				return int(p.Limit), nil
			}
			return 1 << 20, nil
		},
		Listen: func(state *codec.Coder, list []Listener) error {
			p.reach("listen")
			var text string
			state.Text(&text, 100)
			if err := state.End(); err != nil || text != "the gateway's" || len(list) != 1 || list[0].Name != "web" || list[0].Kind != "tcp" {
				return fmt.Errorf("got state %q (%v) and listeners %+v", text, err, list)
			}
			f := os.NewFile(uintptr(list[0].File), "listener")
			l, err := net.FileListener(f)
			if err != nil {
				return err
			}
			f.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					io.WriteString(c, "n")
					c.Close()
				}
			}()
			return nil
		},
		Have: func(state *codec.Coder, files []int) bool {
			if len(p.batch) == 0 {
				p.batches++
				p.reach(fmt.Sprint("have ", p.batches))
			}
			var id int
			codec.Number(state, &id)
			state.Bytes(new([]byte), 1<<20)
			for _, f := range files {
				if flags, err := unix.FcntlInt(uintptr(f), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
					panic(fmt.Sprintf("descriptor %d of session %d has flags %d, %v; want close-on-exec", f, id, flags, err))
				}
			}
			if state.End() != nil || slices.Contains(p.Refuse, id) {
				return false
			}
			p.batch = append(p.batch, newEcho(id, p.Side, files[0], files[1]))
			return true
		},
		Settled: func(ours bool) {
			p.reach(fmt.Sprint("settled ", p.batches))
			for _, e := range p.batch {
				if ours {
					e.start()
					p.live = append(p.live, e)
				}
			}
			p.batch = nil
		},
		Done: func(stop bool) {
			if !stop {
				panic("it is not told to stop")
			}
			p.reach("done")
		},
		Rest: func(c *codec.Coder) {
			var text string
			if c.Text(&text, 100); text != "the rest" {
				panic(fmt.Sprintf("the rest is %q", text))
			}
		},
	}
}

// An echo is a session: its socket, and a file that belongs to it.
type echo struct {
	id     int
	name   string
	files  [2]int
	socket *os.File // nil until it was started
	ended  chan struct{}
}

func newEcho(id int, name string, files ...int) *echo {
	return &echo{id: id, name: name, files: [2]int(files)}
}

func (e *echo) start() {
	if e.socket == nil {
		if err := unix.SetNonblock(e.files[0], true); err != nil {
			panic(err)
		}
		e.socket = os.NewFile(uintptr(e.files[0]), "session")
	}
	e.socket.SetReadDeadline(time.Time{})
	e.ended = make(chan struct{})
	go func() {
		defer close(e.ended)
		for b := make([]byte, 1); ; {
			if _, err := e.socket.Read(b); err != nil {
				return
			}
			io.WriteString(e.socket, e.name[:1])
		}
	}()
}

func (e *echo) stop() {
	e.socket.SetReadDeadline(time.Unix(1, 0))
	<-e.ended
}

func (e *echo) close() {
	e.socket.Close()
	unix.Close(e.files[1])
}

// fileConn returns the connection of a descriptor, which it closes.
func fileConn(fd int) (*net.UnixConn, error) {
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}

func openFiles() int { return len(must(os.ReadDir("/proc/self/fd"))) }

// leaveFree limits descriptors so that n more can be opened. The limit is about their
// numbers, and some that are open may have large ones.
func leaveFree(n uint64) {
	end := uint64(0)
	for ; n > 0; end++ {
		if _, err := unix.FcntlInt(uintptr(end), unix.F_GETFD, 0); err != nil {
			n--
		}
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: end, Max: end}); err != nil {
		panic(err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
