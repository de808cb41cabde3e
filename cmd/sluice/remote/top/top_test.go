package top

import (
	"context"
	"errors"
	"net/url"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gdamore/tcell/v2"

	"sluice/internal/admin"
)

// running is a view that runs, in the time of a test.
type running struct {
	t       *testing.T
	gateway *fakeGateway
	screen  tcell.SimulationScreen
	stops   chan os.Signal
	cancel  context.CancelFunc
	ended   chan error
}

// testScreen is a screen without a terminal, which stops by leaving the screen for a moment.
type testScreen struct {
	tcell.SimulationScreen
	stops chan os.Signal
}

func (s testScreen) Stops() <-chan os.Signal { return s.stops }

func (s testScreen) Stop() error {
	if err := s.Suspend(); err != nil {
		return err
	}
	return s.Resume()
}

// inTime runs a view of a gateway and gives it to test, in a time of its own.
func inTime(t *testing.T, test func(*running)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r := &running{t, newFakeGateway(), newScreen(t, 80, 24), make(chan os.Signal), cancel, make(chan error, 1)}
		go func() { r.ended <- run(ctx, r.gateway, testScreen{r.screen, r.stops}, time.Second) }()
		r.after(50 * time.Millisecond)
		test(r)
		cancel()
		synctest.Wait()
	})
}

// after returns what is on the screen some time later.
func (r *running) after(d time.Duration) string {
	r.t.Helper()
	time.Sleep(d)
	synctest.Wait()
	return shown(r.screen)
}

// press presses keys, and returns what is on the screen then.
func (r *running) press(letters string, keys ...tcell.Key) string {
	r.t.Helper()
	for _, letter := range letters {
		r.screen.InjectKey(tcell.KeyRune, letter, tcell.ModNone)
		synctest.Wait()
	}
	for _, key := range keys {
		r.screen.InjectKey(key, 0, tcell.ModNone)
		synctest.Wait()
	}
	return r.after(2 * drawEvery)
}

func TestAViewThatRuns(t *testing.T) {
	inTime(t, func(r *running) {
		expectAll(t, shown(r.screen), "sluice v1.4.0", "00000000000000a1")
		r.gateway.requests("")
		r.after(5 * time.Second)
		if n := len(r.gateway.requests("GET /sessions")); n != 5 {
			t.Errorf("the sessions were asked for %d times in 5 seconds, want 5", n)
		}
		r.press("", tcell.KeyDown)
		screen := r.press("k", tcell.KeyEnter, tcell.KeyEnter)
		expectAll(t, screen, "(y/n)")
		r.gateway.requests("")
		expectAll(t, r.press("y"), "ended session 00000000000000a1")
		if got := r.gateway.requests("DELETE"); !slices.Equal(got, []string{"DELETE /sessions/00000000000000a1?code=1008&reason=ended+by+operator"}) {
			t.Errorf("asked %q", got)
		}
		expectAll(t, r.press("/colour=red", tcell.KeyEnter), `there is no parameter "colour"`, "filter: colour=red")
		expectNone(t, r.press("", tcell.KeyCtrlU, tcell.KeyEnter), "filter:")
		r.screen.SetSize(200, 50)
		r.screen.PostEvent(tcell.NewEventResize(200, 50))
		expectAll(t, r.after(time.Second), "MSG OUT/S", "PATH")
		r.press("q")
		if err := <-r.ended; err != nil {
			t.Errorf("it has ended with %v", err)
		}
		if r.gateway.most > 1 {
			t.Errorf("%d requests at once", r.gateway.most)
		}
	})
}

func TestATapThatRuns(t *testing.T) {
	inTime(t, func(r *running) {
		r.press("", tcell.KeyDown, tcell.KeyEnter)
		frame := admin.TapLine{Frame: admin.Frame{From: "client", To: "backend", Op: "text", Fin: true, Length: 4321}}
		for range 2500 {
			r.gateway.lines <- frame
		}
		expectAll(t, r.after(time.Second), "2500 frames", "4321 bytes")
		expectAll(t, r.press("", tcell.KeyEscape), "SESSION")
		select {
		case r.gateway.lines <- frame:
			t.Error("the tap goes on after it was left")
		default:
		}
		r.press("", tcell.KeyEnter) // the same session again
		r.gateway.lines <- frame
		expectAll(t, r.after(time.Second), "1 frame,", "4321 bytes")
		r.gateway.lines <- admin.TapLine{TapNote: admin.TapNote{Over: true}}
		expectAll(t, r.after(time.Second), "(the session has ended)")
		expectAll(t, r.press("q"), "SESSION")
	})
}

// Payloads are asked for by a key. Where they are forbidden the frames go on without them.
func TestATapOfPayloads(t *testing.T) {
	inTime(t, func(r *running) {
		frame := admin.TapLine{Frame: admin.Frame{From: "client", To: "backend", Op: "text", Fin: true, Length: 5, Payload: admin.Payload{Text: "hello"}}}
		r.press("", tcell.KeyDown, tcell.KeyEnter)
		expectAll(t, r.press("p"), "with payloads")
		r.gateway.lines <- frame
		expectAll(t, r.after(time.Second), `"hello"`, "1 frame,")
		expectNone(t, r.press("p"), "with payloads")

		r.gateway.change(func() { r.gateway.wrong["tap?payload=true"] = errors.New("forbidden by its route") })
		r.press("p")
		screen := r.after(time.Second)
		expectAll(t, screen, "(forbidden by its route)", "1 frame,")
		expectNone(t, screen, "with payloads")
		r.gateway.lines <- frame
		expectAll(t, r.after(time.Second), "2 frames,")

		r.gateway.lines <- admin.TapLine{TapNote: admin.TapNote{Over: true}}
		expectAll(t, r.after(time.Second), "(the session has ended)")
		r.gateway.change(func() { r.gateway.wrong["tap?"] = errors.New("no such session") })
		r.press("p")
		expectAll(t, r.after(time.Second), "(no such session)")
		r.press("q")
	})
}

func TestAGatewayThatComesBack(t *testing.T) {
	inTime(t, func(r *running) {
		r.gateway.change(func() { r.gateway.wrong["/status"] = errors.New("connection refused") })
		expectAll(t, r.after(3*time.Second), "No answer for", "connection refused", "00000000000000a1")
		r.gateway.requests("")
		r.after(time.Minute)
		if n := len(r.gateway.requests("GET")); n > 8 {
			t.Errorf("it was asked %d times in a minute", n)
		}
		r.gateway.change(func() { delete(r.gateway.wrong, "/status") })
		expectAll(t, r.after(longerPause+time.Second), "the gateway answers again")
	})
}

// A gateway that is told to be silent is waited for, but not for ever; an operator who does not wait is
// told nothing.
func TestTheStartHasABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := try(t.Context(), silent{}); err == nil || time.Since(began) != requestTimeout {
			t.Errorf("after %v: %v, want an error after %v", time.Since(began), err, requestTimeout)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := try(ctx, silent{}); err != nil {
			t.Errorf("a start that was left gives %v", err)
		}
	})
}

// silent is a gateway that does not answer.
type silent struct{ asker }

func (silent) Do(ctx context.Context, _, _ string, _ url.Values, _ any) (int, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

// A view that was stopped goes on.
func TestAStop(t *testing.T) {
	inTime(t, func(r *running) {
		r.stops <- os.Interrupt
		expectAll(t, r.press("2"), "BACKEND")
	})
}

// Whatever ends the view, it gives the screen back.
func TestTheScreenIsGivenBack(t *testing.T) {
	tests := []struct {
		name string
		end  func(*running)
	}{
		{"a key", func(r *running) { r.screen.InjectKey(tcell.KeyCtrlC, 0, tcell.ModNone) }},
		{"a signal", func(r *running) { r.cancel() }},
		{"a tap that is open", func(r *running) {
			r.press("", tcell.KeyDown, tcell.KeyEnter)
			r.cancel()
		}},
		{"a terminal that fails", func(r *running) { r.screen.PostEvent(tcell.NewEventError(errors.New("gone"))) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inTime(t, func(r *running) {
				tt.end(r)
				synctest.Wait()
				select {
				case <-r.ended:
				default:
					t.Fatal("it goes on")
				}
				if r.screen.PollEvent() != nil {
					t.Error("the screen is still in use")
				}
			})
		})
	}
}

// A panic is seen on the terminal as it was, so that it can be read.
func TestAPanicGivesTheScreenBack(t *testing.T) {
	s := newScreen(t, 80, 24)
	defer func() {
		if recover() == nil {
			t.Error("there was no panic")
		}
		if s.PollEvent() != nil {
			t.Error("the screen is still in use")
		}
	}()
	run(t.Context(), newFakeGateway(), testScreen{panics{s}, nil}, time.Second)
}

// panics is a screen that cannot be drawn on.
type panics struct{ tcell.SimulationScreen }

func (panics) HideCursor() { panic("no cursor") }
