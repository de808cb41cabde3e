//go:build linux

package loop

import (
	"context"

	"golang.org/x/sys/unix"
)

// Reserve reserves a place for a connection: the loop keeps running until Enter is called
// and, from then on, until Leave. It is false when the loop is over or has no epoll set.
// Any goroutine may call it.
func (l *Loop) Reserve() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over || !l.opened && !l.open() {
		return false
	}
	l.entering++
	l.load.Add(1)
	return true
}

// Join counts a connection that begins on the loop itself, until Leave.
func (l *Loop) Join() { l.load.Add(1) }

// Enter calls f on the loop: f puts the connection of a reservation there, or calls Leave.
// Any goroutine may call it.
func (l *Loop) Enter(f func()) {
	l.Post(func() {
		l.mu.Lock()
		l.entering--
		l.mu.Unlock()
		f()
	})
}

// Leave gives the places of n connections back: their sockets are closed and their slots
// free.
func (l *Loop) Leave(n int) { l.load.Add(-int64(n)) }

// Post makes the loop call f. It is false, and f is not called, when the loop is over or
// was never opened. Any goroutine may call it.
func (l *Loop) Post(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over || !l.opened {
		return false
	}
	l.posted = append(l.posted, f)
	if len(l.posted) == 1 {
		one := [8]byte{1}
		unix.Write(l.wakeFd, one[:])
	}
	return true
}

// Call is Post, and waits until f has returned. Any other goroutine may call it.
// Called is false when the loop is over or was never opened.
func (l *Loop) Call(f func()) (called bool) {
	done := make(chan struct{})
	if called = l.Post(func() { defer close(done); f() }); called {
		<-done
	}
	return called
}

// Await waits until the loop has called a function, and so is not stuck in a handler. It is false when ctx
// ends before. A loop that is over or was never opened has nothing to do: then it is true at once. Any other
// goroutine may call it.
func (l *Loop) Await(ctx context.Context) bool {
	called := make(chan struct{})
	if !l.Post(func() { close(called) }) {
		return true
	}
	select {
	case <-called:
		return true
	case <-ctx.Done():
		return false
	}
}

// Look calls f while nothing changes what belongs to the loop: on the loop, or here when it is over.
// It does nothing where the loop has not begun. Any other goroutine may call it.
func (l *Loop) Look(f func()) {
	if l.Call(f) {
		return
	}
	l.mu.Lock()
	over := l.over
	l.mu.Unlock()
	if over {
		f()
	}
}

// callPosted calls what was posted.
func (l *Loop) callPosted() {
	l.mu.Lock()
	posted := l.posted
	l.posted = nil
	l.mu.Unlock()
	for _, f := range posted {
		f()
	}
}

// finish makes the loop take no more functions, unless some are posted or will be.
func (l *Loop) finish() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.posted) > 0 || l.entering > 0 {
		return false
	}
	l.over = true
	return true
}
