// Package top is the full-screen view of a gateway that runs, in a terminal. It is a client of the admin
// interface: a model holds what the gateway has answered and what the operator looks at, and is drawn
// from anew after every change.
package top

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/gdamore/tcell/v2"
	"golang.org/x/term"

	"sluice/cmd/sluice/remote/show"
	"sluice/cmd/sluice/remote/top/terminal"
	"sluice/internal/admin"
)

// The bounds of the interval between two looks.
const (
	LeastInterval = 200 * time.Millisecond
	MostInterval  = time.Minute
)

// Run shows the gateway that is meant until the operator quits or ctx ends. It looks at the gateway
// once in an interval, and leaves the terminal as it was.
func Run(ctx context.Context, where admin.Where, interval time.Duration) error {
	if interval < LeastInterval || interval > MostInterval {
		return fmt.Errorf("--interval %v: it is between %v and %v", interval, LeastInterval, MostInterval)
	}
	const instead = "'sluice status' and 'sluice sessions' print what it shows"
	if !term.IsTerminal(int(os.Stdin.Fd())) || !term.IsTerminal(int(os.Stdout.Fd())) {
		return errors.New("sluice top needs a terminal for its input and its output: " + instead)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	client, err := admin.Find(where, os.Getenv)
	if err != nil {
		return err
	}
	if err := try(ctx, client); err != nil || ctx.Err() != nil {
		return err
	}
	tcell.SetEncodingFallback(tcell.EncodingFallbackASCII) // for what is neither that nor UTF-8
	screen, err := terminal.Open(ctx)
	if err != nil {
		return fmt.Errorf("sluice top cannot use this terminal: %w; %s", err, instead)
	}
	return run(ctx, client, screen, interval)
}

// try asks the gateway once: what is wrong is better read here than on a screen that hides what was
// there. An operator who does not wait for it is told nothing.
func try(ctx context.Context, a asker) error {
	limited, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err := a.Do(limited, http.MethodGet, "/status", nil, nil)
	switch {
	case ctx.Err() != nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the gateway does not answer within %v: %w", requestTimeout, err)
	}
	return err
}

const (
	requestTimeout = 10 * time.Second      // for all requests of a look
	drawEvery      = 20 * time.Millisecond // at most
	tickEvery      = time.Second           // for what is shown of times
	tapBuffer      = 1000                  // lines that have come and are not shown yet
)

// loop is what runs: it gives the model what happens, one thing at a time, and does what the model
// wants.
type loop struct {
	asker  asker
	screen screen
	model  *model

	wg      sync.WaitGroup
	events  chan tcell.Event
	answers chan func() // each gives an answer to the model
	busy    bool        // a request is under way

	tapped tapped
	leave  func()             // ends its tap
	lines  chan admin.TapLine // of that tap
}

// tapped is what is tapped.
type tapped struct {
	session  string // "" means none
	payloads bool
}

// screen is what is used here of [terminal.Terminal]. Tests have one without a terminal.
type screen interface {
	tcell.Screen
	Stops() <-chan os.Signal
	Stop() error
}

// run shows a gateway on a screen, which it gives back.
func run(ctx context.Context, a asker, screen screen, interval time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	l := &loop{
		asker: a, screen: screen, model: newModel(interval, time.Now()),
		events: make(chan tcell.Event), answers: make(chan func()), leave: func() {},
	}
	defer l.wg.Wait()
	defer cancel()
	defer screen.Fini()
	screen.RegisterRuneFallback(show.Ellipsis, "~")
	screen.EnablePaste()
	l.model.resize(screen.Size())
	l.start(func() { screen.ChannelEvents(l.events, ctx.Done()) })
	return l.run(ctx)
}

// start runs f beside the loop. The terminal is given back if it panics.
func (l *loop) start(f func()) {
	l.wg.Go(func() {
		returned := false
		defer func() {
			if !returned {
				l.screen.Fini()
			}
		}()
		f()
		returned = true
	})
}

func (l *loop) run(ctx context.Context) error {
	m := l.model
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	redraw := time.After(0)
	for !m.quit {
		l.ask(ctx)
		l.followTap(ctx)
		var due <-chan time.Time
		if !l.busy {
			due = time.After(time.Until(m.due))
		}
		select {
		case <-ctx.Done():
			return nil
		case event, ok := <-l.events:
			if !ok {
				return nil
			}
			if failed, ok := event.(*tcell.EventError); ok {
				return failed
			}
			l.event(event)
		case <-l.screen.Stops():
			if err := l.screen.Stop(); err != nil {
				return err
			}
			m.pasting = false // what ends a paste may be lost
		case give := <-l.answers:
			give()
		case line := <-l.lines:
			l.taken(line)
		case m.now = <-due:
		case m.now = <-tick.C:
		case <-redraw:
			draw(l.screen, m)
			m.seen()
			redraw = nil
			continue
		}
		if redraw == nil {
			redraw = time.After(drawEvery)
		}
	}
	return nil
}

// event gives the model what the operator has done.
func (l *loop) event(event tcell.Event) {
	l.model.now = time.Now()
	switch event := event.(type) {
	case *tcell.EventResize:
		l.model.resize(event.Size())
		l.screen.Sync()
	case *tcell.EventPaste:
		l.model.pasting = event.Start()
	case *tcell.EventKey:
		switch key := event.Key(); {
		case key == tcell.KeyCtrlL:
			l.screen.Sync()
		case key == tcell.KeyCtrlZ && !l.model.pasting:
			terminal.AskToStop()
			return
		}
		l.model.key(event)
	}
}

// ask makes the next request, unless one is under way or none is due.
func (l *loop) ask(ctx context.Context) {
	m := l.model
	switch {
	case l.busy:
	case len(m.changes) > 0:
		c := m.changes[0]
		m.changes = m.changes[1:]
		l.request(ctx, func(ctx context.Context) func() {
			_, err := l.asker.Do(ctx, c.method, c.path, c.parameters, nil)
			return func() { m.changed(c, err, time.Now()) }
		})
	case !time.Now().Before(m.due):
		q := m.query()
		m.asked = time.Now()
		l.request(ctx, func(ctx context.Context) func() {
			answer, status, err := take(ctx, l.asker, q)
			return func() {
				if err != nil {
					m.failed(q, status, err, time.Now())
				} else {
					m.looked(answer, time.Now())
				}
			}
		})
	}
}

// request runs do beside the loop, which then calls what do returns.
func (l *loop) request(ctx context.Context, do func(context.Context) func()) {
	l.busy = true
	l.start(func() {
		limited, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		give := do(limited)
		l.answer(ctx, func() {
			l.busy = false
			give()
		})
	})
}

// answer has the loop call a function.
func (l *loop) answer(ctx context.Context, give func()) {
	select {
	case l.answers <- give:
	case <-ctx.Done():
	}
}

// followTap taps the session that the model wants to be tapped, as it wants it, and no other.
func (l *loop) followTap(ctx context.Context) {
	var wanted tapped
	if t := l.model.tap; t != nil {
		wanted = tapped{t.session, t.payloads}
	}
	if wanted == l.tapped {
		return
	}
	l.leave()
	l.tapped, l.leave, l.lines = wanted, func() {}, nil
	if wanted.session == "" {
		return
	}
	how := make(url.Values)
	if wanted.payloads {
		how.Set("payload", "true")
	}
	ctx, l.leave = context.WithCancel(ctx)
	lines := make(chan admin.TapLine, tapBuffer)
	l.lines = lines
	l.start(func() {
		err := l.asker.Tap(ctx, wanted.session, how, func(line admin.TapLine) error {
			select {
			case lines <- line: // where there is no room the gateway says how much was missed
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		l.answer(ctx, func() {
			if l.lines == lines { // it was not left meanwhile
				l.taken()
				l.model.tapped(wanted.session, nil, true, err)
			}
		})
	})
}

// taken gives the model these lines of the tap, and all that have come with them.
func (l *loop) taken(all ...admin.TapLine) {
	for range len(l.lines) {
		all = append(all, <-l.lines)
	}
	l.model.tapped(l.tapped.session, all, false, nil)
}
