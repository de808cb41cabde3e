package relaytest

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"sluice/internal/wstest"
	"sluice/proxy/relay/core"
	"sluice/proxy/relay/frametest"
)

// A TimedSession is a session on an engine whose time the test decides.
type TimedSession struct {
	*Fixture
	C, B        *Peer
	AdvanceTime func(time.Duration) // lets time pass
	Settle      func()              // waits until the engine has seen all that was sent
	AwaitFull   func(core.Side)     // waits until a side's reader holds up what is sent to it
}

// Peer returns the peer of a side.
func (s *TimedSession) Peer(side core.Side) *Peer { return [...]*Peer{s.C, s.B}[side] }

// View returns the view of the session.
func (s *TimedSession) View() (v core.View) {
	s.T.Helper()
	n := 0
	s.Each(func(one core.View) bool { v = one; n++; return true })
	if n != 1 {
		s.T.Fatalf("%d sessions to see; want 1", n)
	}
	return v
}

// advanceUntilEnding lets time pass in steps until the session is ending. A stall begins anew
// when the system takes bytes of the gateway that the peer has not read: TCP may find room
// for them at any time.
func (s *TimedSession) advanceUntilEnding(step time.Duration) {
	s.T.Helper()
	for range 100_000 {
		if s.View().Cause != 0 {
			return
		}
		s.AdvanceTime(step)
	}
	s.T.Fatal("the session does not end")
}

// A Scenario is what happens to a TimedSession, and how it ends.
type Scenario struct {
	Name  string
	Rules core.Rules
	Run   func(s *TimedSession)
	Cause core.Cause
	By    core.Side
	Code  ws.StatusCode
}

// stoppedReading is a side that takes nothing of the bytes that wait for it, for longer than
// the rules allow: for an hour and a minute.
func stoppedReading(side core.Side, rules core.Rules, cause core.Cause) Scenario {
	return Scenario{
		Name: fmt.Sprintf("the %s has stopped reading: %s", side, cause), Rules: rules,
		Run: func(s *TimedSession) {
			from := s.Peer(side.Other())
			go from.Write(frametest.Encode(side.Other(), frametest.Binary(RandomPayload(Bulk))))
			s.AwaitFull(side)
			s.AdvanceTime(time.Hour)
			s.advanceUntilEnding(time.Minute)
			want := "close 1001"
			if side == core.Backend {
				want = fmt.Sprintf("close 1001 %q", cause)
			}
			from.ExpectClose(want, "ping ") // it is asked if the last of what it sent has gone on at a later look
			s.AdvanceTime(core.CloseTimeout)
			s.AdvanceTime(core.LingerTime)
		},
		Cause: cause, By: side, Code: 1001,
	}
}

// AnswerCloses reads the Close frames of the gateway, with all that comes before, and answers
// them.
func (s *TimedSession) AnswerCloses(client, backend string) {
	var both sync.WaitGroup
	both.Go(func() { s.B.AnswerClose(backend, wstest.Close(1001, "")) })
	both.Go(func() { s.C.AnswerClose(client, wstest.Close(1001, "")) })
	both.Wait()
}

// TimedScenarios returns what both engines have to do alike.
func TimedScenarios() []Scenario {
	return []Scenario{
		{
			Name: "pings are answered, and the other side sees nothing of it", Rules: core.Rules{Ping: time.Hour, Pong: time.Minute},
			Run: func(s *TimedSession) {
				for range 3 {
					s.AdvanceTime(time.Hour)
					s.C.Send(wstest.Pong(s.C.ReadPing()))
					s.B.Send(wstest.Pong(s.B.ReadPing()))
					s.Settle()
				}
				s.C.Send(wstest.Text("a"), wstest.Pong("not asked"))
				s.B.Receive(wstest.Text("a"), wstest.Pong("not asked"))
				s.B.Send(wstest.Text("b"))
				s.C.Receive(wstest.Text("b"))
				s.C.Send(wstest.Close(1000, ""))
				s.AnswerCloses("close 1001", "close 1000")
			},
			Cause: core.Closed, By: core.Client, Code: 1000,
		},
		{
			Name: "a ping comes after the frame that is under way", Rules: core.Rules{Ping: time.Hour, Pong: time.Minute},
			Run: func(s *TimedSession) {
				whole := frametest.Encode(core.Backend, frametest.Binary(RandomPayload(300_000)))
				go s.B.Write(whole[:200_000])
				got := make([]byte, len(whole))
				io.ReadFull(s.C, got[:200_000])
				s.AdvanceTime(time.Hour)
				s.B.ReadPing() // to which its frame is the answer
				go s.B.Write(whole[200_000:])
				io.ReadFull(s.C, got[200_000:])
				if !bytes.Equal(got, whole) {
					s.T.Error("the frame arrived changed")
				}
				s.C.Send(wstest.Pong(s.C.ReadPing()))
				s.End(All, core.Ending{Cause: core.Shutdown}, 0)
				s.AnswerCloses(ShutdownClose(core.Client), ShutdownClose(core.Backend))
			},
			Cause: core.Shutdown, By: core.Gateway, Code: 1001,
		},
		{
			Name: "a ping waits for a reader that stalls", Rules: core.Rules{Ping: time.Hour, Pong: time.Minute},
			Run: func(s *TimedSession) {
				message := frametest.Binary(RandomPayload(Bulk))
				go s.B.Write(frametest.Encode(core.Backend, message))
				s.AwaitFull(core.Client)
				s.AdvanceTime(time.Hour)
				s.C.Receive(message)
				s.C.Send(wstest.Pong(s.C.ReadPing()))
				s.Settle()
				s.End(All, core.Ending{Cause: core.Shutdown}, 0)
				s.AnswerCloses(ShutdownClose(core.Client), ShutdownClose(core.Backend))
			},
			Cause: core.Shutdown, By: core.Gateway, Code: 1001,
		},
		stoppedReading(core.Client, core.Rules{Ping: time.Hour, Pong: time.Minute}, core.Unanswered),
		stoppedReading(core.Backend, core.Rules{Ping: time.Hour, Pong: time.Minute}, core.Unanswered),
		stoppedReading(core.Client, core.Rules{Stall: time.Hour + time.Minute}, core.Stalled),
		stoppedReading(core.Backend, core.Rules{Stall: time.Hour + time.Minute}, core.Stalled),
		{
			Name: "a reader that stalls for less than it may", Rules: core.Rules{Stall: time.Hour},
			Run: func(s *TimedSession) {
				message := frametest.Binary(RandomPayload(Bulk))
				go s.B.Write(frametest.Encode(core.Backend, message))
				s.AwaitFull(core.Client)
				s.AdvanceTime(time.Minute)
				s.C.Receive(message)
				s.Settle()
				s.AdvanceTime(10 * time.Hour)
				s.End(All, core.Ending{Cause: core.Shutdown}, 0)
				s.AnswerCloses(ShutdownClose(core.Client), ShutdownClose(core.Backend))
			},
			Cause: core.Shutdown, By: core.Gateway, Code: 1001,
		},
		{
			Name: "a reader that goes on when it has stalled for too long", Rules: core.Rules{Stall: time.Hour},
			Run: func(s *TimedSession) {
				message := frametest.Binary(RandomPayload(Bulk))
				go s.B.Write(frametest.Encode(core.Backend, message))
				s.AwaitFull(core.Client)
				s.advanceUntilEnding(time.Hour)
				s.C.Receive(message)
				s.AnswerCloses(`close 1001 "stalled"`, "close 1001")
			},
			Cause: core.Stalled, By: core.Client, Code: 1001,
		},
		{
			Name: "a rule for a reader that has stalled for longer",
			Run: func(s *TimedSession) {
				message := frametest.Binary(RandomPayload(Bulk))
				go s.B.Write(frametest.Encode(core.Backend, message))
				s.AwaitFull(core.Client)
				s.AdvanceTime(time.Hour)
				s.ChangeRules(core.Rules{Stall: time.Minute})
				s.AdvanceTime(time.Nanosecond)
				s.advanceUntilEnding(time.Minute)
				s.C.Receive(message)
				s.AnswerCloses(`close 1001 "stalled"`, "close 1001")
			},
			Cause: core.Stalled, By: core.Client, Code: 1001,
		},
		{
			Name: "a ping is not answered", Rules: core.Rules{Ping: time.Hour, Pong: time.Minute},
			Run: func(s *TimedSession) {
				s.AdvanceTime(time.Hour)
				s.C.ReadPing()
				s.B.Send(wstest.Pong(s.B.ReadPing()))
				s.Settle()
				s.AdvanceTime(time.Minute)
				s.AnswerCloses(`close 1001 "ping unanswered"`, "close 1001")
			},
			Cause: core.Unanswered, By: core.Client, Code: 1001,
		},
		{
			Name: "idle", Rules: core.Rules{Idle: time.Hour},
			Run: func(s *TimedSession) {
				s.C.Send(wstest.Text("a"))
				s.B.Receive(wstest.Text("a"))
				s.Settle()
				s.AdvanceTime(time.Hour)
				s.AnswerCloses(`close 1001 "idle"`, "close 1001")
			},
			Cause: core.Idle, By: core.Gateway, Code: 1001,
		},
		{
			Name: "the life is over", Rules: core.Rules{Lifetime: time.Hour},
			Run: func(s *TimedSession) {
				s.AdvanceTime(time.Hour)
				s.AnswerCloses(`close 1001 "lifetime over"`, "close 1001")
			},
			Cause: core.Lifetime, By: core.Gateway, Code: 1001,
		},
		{
			Name: "rules for a session that is open",
			Run: func(s *TimedSession) {
				s.AdvanceTime(time.Hour)
				s.ChangeRules(core.Rules{Idle: 2 * time.Hour, Backend: core.Traffic{Frame: 3}})
				s.B.Send(wstest.Text("abc"))
				s.C.Receive(wstest.Text("abc"))
				s.B.Send(wstest.Text("abcd"))
				s.AnswerCloses("close 1001", `close 1009 "a frame over the size limit"`)
			},
			Cause: core.TooLarge, By: core.Backend, Code: 1009,
		},
		{
			Name: "a rule that ends sessions at once",
			Run: func(s *TimedSession) {
				s.AdvanceTime(time.Hour)
				s.ChangeRules(core.Rules{Lifetime: time.Minute})
				s.AdvanceTime(time.Minute)
				s.AnswerCloses(`close 1001 "lifetime over"`, "close 1001")
			},
			Cause: core.Lifetime, By: core.Gateway, Code: 1001,
		},
		{
			Name: "a rule that is taken back", Rules: core.Rules{Idle: time.Hour, Lifetime: time.Hour, Ping: time.Hour, Pong: time.Minute},
			Run: func(s *TimedSession) {
				s.ChangeRules(core.Rules{})
				s.AdvanceTime(10 * time.Hour)
				s.C.Send(wstest.Close(1000, ""))
				s.AnswerCloses("close 1001", "close 1000")
			},
			Cause: core.Closed, By: core.Client, Code: 1000,
		},
		{
			Name: "messages are delayed, which is no stall", Rules: core.Rules{Client: core.Traffic{MessageRate: 1.0 / 3600, MessageBurst: 2}, Stall: time.Minute},
			Run: func(s *TimedSession) {
				var all []ws.Frame
				for i := range 10 {
					all = append(all, wstest.Text(fmt.Sprint("message ", i)))
				}
				s.C.Send(append(all, wstest.Close(1000, ""))...)
				s.B.Receive(all[:2]...)
				for i, f := range all[2:] {
					s.Settle()
					if n := s.View().FromClient.Messages; n != uint64(i+2) {
						s.T.Fatalf("%d messages passed after %d hours; want %d", n, i, i+2)
					}
					s.AdvanceTime(time.Hour)
					s.B.Receive(f)
				}
				s.AnswerCloses("close 1001", "close 1000")
			},
			Cause: core.Closed, By: core.Client, Code: 1000,
		},
		{
			Name: "rules that change for another group, and for this one", Rules: core.Rules{Client: core.Traffic{MessageRate: 1.0 / 3600, MessageBurst: 1}},
			Run: func(s *TimedSession) {
				s.C.Send(wstest.Text("a"), wstest.Text("b"), wstest.Text("c"))
				s.B.Receive(wstest.Text("a"))
				s.Settle()
				s.RulesChanged(map[*core.Group]bool{new(core.Group): true})
				s.Settle()
				if n := s.View().FromClient.Messages; n != 1 {
					s.T.Errorf("%d messages passed; want 1: the session has to keep what it used of its rate", n)
				}
				s.ChangeRules(core.Rules{Client: core.Traffic{MessageRate: 1.0 / 7200, MessageBurst: 1}})
				s.B.Receive(wstest.Text("b"))
				s.Settle()
				s.AdvanceTime(2 * time.Hour)
				s.B.Receive(wstest.Text("c"))
				s.B.Send(wstest.Close(1000, ""))
				s.AnswerCloses("close 1000", "close 1001")
			},
			Cause: core.Closed, By: core.Backend, Code: 1000,
		},
		{
			Name: "a side that is delayed gets no ping and is not blamed",
			Rules: core.Rules{
				Client: core.Traffic{MessageRate: 1.0 / 36000, MessageBurst: 1}, Ping: time.Hour, Pong: time.Minute,
			},
			Run: func(s *TimedSession) {
				s.C.Send(wstest.Text("a"), wstest.Text("b"))
				s.B.Receive(wstest.Text("a"))
				s.Settle()
				for range 9 {
					s.AdvanceTime(time.Hour)
					s.B.Send(wstest.Pong(s.B.ReadPing()))
					s.Settle()
				}
				s.ChangeRules(core.Rules{Client: core.Traffic{MessageRate: 1.0 / 36000, MessageBurst: 1}})
				s.AdvanceTime(time.Hour)
				s.B.Receive(wstest.Text("b"))
				s.B.Send(wstest.Close(1000, ""))
				s.AnswerCloses("close 1000", "close 1001")
			},
			Cause: core.Closed, By: core.Backend, Code: 1000,
		},
		{
			Name: "an end does not wait for a rate", Rules: core.Rules{Client: core.Traffic{MessageRate: 1.0 / 3600, MessageBurst: 1}},
			Run: func(s *TimedSession) {
				s.C.Send(wstest.Text("a"), wstest.Text("b"))
				s.B.Receive(wstest.Text("a"))
				s.Settle()
				s.End(All, core.Ending{Cause: core.Shutdown}, 0)
				s.AnswerCloses(ShutdownClose(core.Client), "close 1001")
			},
			Cause: core.Shutdown, By: core.Gateway, Code: 1001,
		},
		{
			Name: "an operator's end, with a code and a reason",
			Run: func(s *TimedSession) {
				if n := s.End(func(v core.View) bool { return v.Note == "noted" }, core.Ending{Cause: core.Operator, Code: 4003, Reason: "go away"}, 0); n != 1 {
					s.T.Errorf("End = %d; want 1", n)
				}
				s.AnswerCloses(`close 4003 "go away"`, "close 1001")
			},
			Cause: core.Operator, By: core.Gateway, Code: 4003,
		},
		{
			Name: "the same within some time",
			Run: func(s *TimedSession) {
				s.End(All, core.Ending{Cause: core.Operator, Code: 4003, Reason: "go away"}, time.Hour)
				if v := s.View(); v.Cause != 0 {
					s.T.Errorf("the session ended at once: %s", v.Cause)
				}
				s.AdvanceTime(time.Hour)
				s.AnswerCloses(`close 4003 "go away"`, "close 1001")
			},
			Cause: core.Operator, By: core.Gateway, Code: 4003,
		},
		{
			Name: "an end that is planned for a session",
			Run: func(s *TimedSession) {
				expired := core.Ending{Cause: core.Expired}
				if s.PlanEnd(s.LastID+1, time.Now(), expired) {
					s.T.Error("there is a session that never was")
				}
				for _, in := range []time.Duration{2 * time.Hour, time.Hour, 3 * time.Hour} { // the earliest one counts
					if !s.PlanEnd(s.LastID, time.Now().Add(in), expired) {
						s.T.Error("the session is not found")
					}
				}
				s.AdvanceTime(59 * time.Minute)
				if v := s.View(); v.Cause != 0 {
					s.T.Errorf("the session ended too early: %s", v.Cause)
				}
				s.AdvanceTime(time.Minute)
				s.AnswerCloses(`close 1008 "credential expired"`, "close 1001")
			},
			Cause: core.Expired, By: core.Gateway, Code: 1008,
		},
		{
			Name: "an end that was due before the session began",
			Run: func(s *TimedSession) {
				s.PlanEnd(s.LastID, time.Unix(1, 0), core.Ending{Cause: core.Expired})
				s.AnswerCloses(`close 1008 "credential expired"`, "close 1001")
			},
			Cause: core.Expired, By: core.Gateway, Code: 1008,
		},
	}
}
