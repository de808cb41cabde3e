package takeover

import (
	"context"
	"fmt"
	"net"
	"time"

	"sluice/internal/codec"
)

// A Giver is what the old process gives and does. All fields are required.
type Giver struct {
	// Clock is the CLOCK_MONOTONIC time, in nanoseconds, of moment 0 of the clock that
	// states are written with.
	Clock int64
	// Descriptors is how many all sessions have together. If the new process may not
	// open that many, it gets nothing.
	Descriptors int
	// State writes what the gateway knows besides its sessions, at the time when the
	// listeners are handed over. Its argument is nil if the new process speaks another
	// version: it gets the listeners alone then.
	State func(*codec.Coder)
	// Listeners are at most [MaxFiles] sockets. They stay open here: if the new process
	// fails, this one can accept again.
	Listeners []Listener
	// Opened is called when the new process accepts connections. This one stops.
	Opened func()
	// Next stops sessions and adds them to an empty batch. With none added there are no
	// more. A session that the new process has refused should not be added again.
	Next func(*Batch) error
	// Settled is called once after each Next that has added sessions, also if that or
	// anything later has failed, with a bool for each of them in their order. True: the
	// session is the new process's; it must not be resumed, and what is left of it, its
	// descriptors too, is to be wiped and closed. False: it is this process's, which goes
	// on with it.
	Settled func(given []bool)
	// Stopping reports whether this process was told to stop meanwhile, which is told the
	// new one when all has gone over.
	Stopping func() bool
	// Done is called when all has gone over, and returns when what is left here has ended.
	Done func()
	// Rest writes what the new process is to know of that, if it speaks this version.
	Rest func(*codec.Coder)
}

// Give hands over what g has. conn is closed when it returns. It fails if ctx ends, a
// deadline passes, the new process dies or either side gives up; sessions that were
// settled before then stay settled.
func Give(ctx context.Context, conn *net.UnixConn, g Giver, d Deadlines) (err error) {
	l, err := newLink(ctx, conn, "the new process", d)
	if err != nil {
		conn.Close()
		return err
	}
	defer func() { l.close(err) }()
	if len(g.Listeners) > MaxFiles {
		return fmt.Errorf("there are %d listening sockets; at most %d can be handed over", len(g.Listeners), MaxFiles)
	}
	if err := l.prepared(&g); err != nil {
		return err
	}
	files := make([]int, len(g.Listeners))
	for i, listener := range g.Listeners {
		files[i] = listener.File
	}
	state := g.State
	if !l.same {
		state = func(*codec.Coder) { g.State(nil) }
	}
	if err := l.send(listeners, files, func(c *codec.Coder) { carryListeners(c, state, &g.Listeners) }); err != nil {
		return err
	}
	if _, err := l.receive(d.Prepare, open); err != nil {
		return err
	}
	g.Opened()
	for more := l.same; more; {
		if more, err = l.giveBatch(&g); err != nil {
			return err
		}
	}
	if err := l.send(done, nil, func(c *codec.Coder) { c.Bool(new(g.Stopping())) }); err != nil {
		return err
	}
	m, err := l.receive(d.Step, done)
	if err != nil {
		return err
	}
	if err := m.body.End(); err != nil {
		return l.invalid(m, err)
	}
	g.Done()
	if !l.same {
		return l.send(rest, nil, nil)
	}
	return l.send(rest, nil, g.Rest)
}

// Refuse tells a new process why it gets nothing. conn is closed when it returns.
func Refuse(conn *net.UnixConn, why error) {
	if l, err := newLink(context.Background(), conn, "the new process", Deadlines{Prepare: refuseTime, Step: refuseTime}); err == nil {
		l.close(why)
	}
	conn.Close()
}

// refuseTime is how long a new process may take to be refused.
const refuseTime = time.Second

// prepared returns when the new process has done what can fail, and has room for everything.
func (l *link) prepared(g *Giver) error {
	err := l.send(hello, nil, func(c *codec.Coder) { carryGreeting(c, &g.Clock) })
	if err != nil {
		return err
	}
	m, err := l.receive(l.deadlines.Prepare, ready)
	if err != nil {
		return err
	}
	var room int64
	l.same = carryGreeting(m.body, &room) == Version
	if err := m.body.End(); err != nil {
		return l.invalid(m, err)
	}
	need := len(g.Listeners)
	if l.same {
		need += g.Descriptors
	}
	if room < int64(need) {
		return fmt.Errorf("the new process may open %d more files, and %d are to be handed over: raise its limit of open files (LimitNOFILE= of systemd, ulimit -n)", room, need)
	}
	return nil
}

// giveBatch moves the next sessions. It reports false if there are none.
func (l *link) giveBatch(g *Giver) (more bool, err error) {
	l.wipe()
	b := Batch{out: l.memory[: headSize : headSize+maxBatch]}
	defer func() { clear(b.out) }()
	err = g.Next(&b)
	if b.Len() == 0 {
		return false, err
	}
	given := make([]bool, b.Len())
	defer func() { g.Settled(given) }()
	if err != nil {
		return false, err
	}
	if _, err := l.write(batch, b.files, b.out); err != nil {
		return false, err
	}
	m, err := l.receive(l.deadlines.Step, have)
	if err != nil {
		return false, err
	}
	yes, err := readHave(m.body, b.Len())
	if err != nil {
		return false, l.invalid(m, err)
	}
	// The commit is six bytes, which the kernel takes as a whole or not at all: with an
	// error and no byte written, the new process never sees it.
	n, err := l.write(yours, nil, l.memory[:headSize])
	if n > 0 {
		copy(given, yes)
	}
	return err == nil, err
}
