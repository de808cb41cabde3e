//go:build !portable

package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"sluice/cmd/sluice/succession"
	"sluice/internal/admin"
	"sluice/internal/codec"
	"sluice/internal/takeover"
	"sluice/proxy"
	"sluice/proxy/handover"
)

// restart starts a new process, which takes over, and ends this one. If that fails, this one goes on.
func (p *process) restart() (admin.Restart, error) {
	return p.replace(func() (*succession.Child, error) {
		if p.Alone != "" {
			return nil, errors.New(p.Alone)
		}
		if err := supervised(p.manager != nil); err != nil && !p.successor {
			return nil, err
		}
		child, err := succession.Start(p.program, p.Arguments, p.manager.Environment())
		if err != nil {
			return nil, fmt.Errorf("the program %s cannot be started: %w", p.program, err)
		}
		return child, nil
	})
}

// replace makes a process take over, and this one end. If that fails, this one goes on.
func (p *process) replace(start func() (*succession.Child, error)) (r admin.Restart, err error) {
	if !p.restarting.TryLock() {
		return r, errors.New("a restart is under way: a new process takes over, or the one before this one still ends its last sessions and requests; try again later")
	}
	defer p.restarting.Unlock()
	p.moving.Lock()
	defer func() {
		if err != nil { // else operators have to ask the new process
			p.moving.Unlock()
		}
	}()
	p.applying.Lock()
	defer p.applying.Unlock()
	if p.running.Err() != nil || p.heir.Load() != nil {
		return r, proxy.ErrStopped
	}
	began := time.Now()
	child, err := start()
	if err != nil {
		return r, err
	}
	handed, err := p.handOver(child)
	if err != nil {
		return r, err
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	r = admin.Restart{
		PID: child.PID(), Millis: ms(time.Since(began)), Sessions: handed.Sessions, Connections: handed.Connections, Stayed: p.gateway.OpenSessions(), Foreign: handed.Foreign,
		PauseP50: ms(handed.Quantile(0.5)), PauseP99: ms(handed.Quantile(0.99)), PauseMax: ms(handed.Quantile(1)),
	}
	if r.Foreign {
		p.log().Warn().Int("sessions_ending", r.Stayed).Msg("the new process speaks another version of the take-over: it has the listeners, and no session can go over")
	}
	p.log().Info().Int("pid", r.PID).Int("sessions", r.Sessions).Int("connections", r.Connections).Int("sessions_ending", r.Stayed).Float64("pause_max_ms", r.PauseMax).
		Msg("a new process has taken over: this one ends")
	p.end()
	return r, nil
}

// handOver gives everything to a child. It returns when all has gone over, and this process is to end; what it counts until then, the
// child is told in the background.
func (p *process) handOver(child *succession.Child) (handed handover.Result, err error) {
	sockets, err := p.sockets()
	if err != nil {
		child.Kill()
		return handed, err
	}
	over, failed := make(chan handover.Result, 1), make(chan error, 1)
	// Its context is not that of the process: that ends while the rest is waited for. A stop ends the hand-over for as long
	// as the child has no session; from then on the child stops too. A process that has asked is not told to stop, and it
	// goes on to the end when it accepts connections.
	ctx, cancel := context.WithCancel(context.WithoutCancel(p.running))
	keep := context.AfterFunc(p.running, cancel)
	p.background.Go(func() {
		defer cancel()
		lives, err := child.Give(ctx, func(ctx context.Context, conn *net.UnixConn, d takeover.Deadlines) (succession.Progress, error) {
			handed, err := p.gateway.HandOver(ctx, conn, handover.Source{
				Others: sockets, Rest: p.carryCounts,
				State: func(c *codec.Coder) { // the gateway writes the rest, which inherit reads
					p.carryFirst(c)
					p.carryLevel(c)
				},
				Opened: func() {
					if child.Asked() {
						keep()
					}
				},
				Committed: func() { keep() },
				Stopping:  func() bool { return p.running.Err() != nil && !child.Asked() },
				Done: func(h handover.Result) {
					keep()
					p.giveUp(child)
					over <- h
					select {
					case <-p.gateway.Stopped():
					case <-child.Ended():
						p.log().Error().Msg("the new process has ended: start the service again; this one ends too")
						p.manager.MainPID(os.Getpid())
						<-p.gateway.Stopped()
						p.failed = errors.New("the process that had taken over has ended") // a service manager starts another one
					}
				},
			}, d)
			switch {
			case handed.Begun():
				return succession.Sessions, err
			case handed.Accepts:
				return succession.Accepts, err
			}
			return succession.Nothing, err
		})
		switch {
		case err == nil, p.heir.Load() != nil:
			return
		case lives:
			p.log().Error().Err(err).Msg("restart failed half-way: the new process goes on, and this one ends")
			if p.running.Err() != nil {
				child.Signal(syscall.SIGTERM)
			}
			p.giveUp(child)
			p.end()
			err = fmt.Errorf("it failed half-way: the new process goes on with what it has, and the one before it ends: %w", err)
		default:
			goesOn := "this process goes on"
			if p.running.Err() != nil {
				goesOn = "this process stops"
			}
			p.log().Error().Err(err).Msg("restart failed: " + goesOn)
			p.gateway.Resume()
		}
		failed <- err
	})
	select {
	case handed = <-over:
		return handed, nil
	case err = <-failed:
		return handed, err
	}
}

// giveUp leaves the listeners to the process that has taken over.
func (p *process) giveUp(to *succession.Child) {
	if pid := to.PID(); pid != 0 {
		p.manager.MainPID(pid)
	}
	p.gateway.GiveUp()
	p.heir.Store(to)
	p.admin.GiveUp()
}

// sockets returns the sockets of this process that a new one gets, but for those of the gateway.
func (p *process) sockets() (all []takeover.Listener, err error) {
	operators, err := p.admin.Sockets()
	if err != nil {
		return nil, err
	}
	for _, s := range operators {
		all = append(all, takeover.Listener{Kind: succession.KindAdmin, Name: s.Key, File: s.Descriptor})
	}
	if p.offer != nil {
		fd, err := p.offer.Descriptor()
		if err != nil {
			return nil, err
		}
		all = append(all, takeover.Listener{Kind: succession.KindOffer, Name: p.offer.Path(), File: fd})
	}
	passed, err := p.passed.All()
	for _, s := range passed {
		all = append(all, takeover.Listener{Kind: succession.KindPassed, Name: s.Name, File: s.Descriptor})
	}
	return all, err
}

// carryCounts writes down what this process and those before it have counted, or reads what they have.
func (p *process) carryCounts(c *codec.Coder) {
	p.metrics.Carry(c)
	p.gateway.CarryTotals(c)
}

// carryLevel writes down the level of the log that an operator has set, or reads it. It is that of the configuration where
// none has.
func (p *process) carryLevel(c *codec.Coder) {
	level := ""
	if set := p.levelSet.Load(); set != nil {
		level = *set
	}
	if c.Text(&level, 16); c.Reading() && c.Err() == nil && level != "" {
		if err := (operator{process: p}).SetLogLevel(level); err != nil {
			c.Fail(err)
		}
	}
}

// carryFirst writes down what a process has to know before it serves anyone, or reads it: who looks at it then sees what goes on.
func (p *process) carryFirst(c *codec.Coder) {
	p.carryCounts(c)
	c.Text(&p.token, mostText)
	c.Text(&p.tokenFile, mostText)
}

// mostText is how many bytes a token, and the name of its file, may have.
const mostText = 64 << 10

// inherit reads what the process before has counted and learned, and applies the configuration in the middle of it. Without one, it
// applies the configuration alone.
func (p *process) inherit(state *codec.Coder, apply func() error) error {
	if state == nil {
		return apply()
	}
	p.carryFirst(state)
	if state.Err() == nil {
		if err := apply(); err != nil {
			return err
		}
		p.carryLevel(state)
		p.gateway.Carry(state)
	}
	if err := state.End(); err != nil {
		return fmt.Errorf("what the process before has counted and learned: %w", err)
	}
	return nil
}

// succeed takes the sessions over from the process that has started this one to do so, if one has. There is no restart before the
// other process has ended: what it counts until then would be lost.
func (p *process) succeed(from *succession.Inherited) {
	if !from.Continues() {
		return
	}
	p.background.Go(func() {
		defer p.restarting.Unlock()
		select {
		case <-from.Over():
			if err := from.Lost(); err != nil {
				p.log().Warn().Err(err).Msg("what the process before has counted since its sessions went over is lost, and the requests that it still had, if any")
			}
		case <-p.running.Done():
		}
	})
	<-p.gateway.Running()
	if p.running.Err() != nil {
		from.Fail(proxy.ErrStopped)
		p.moving.Unlock()
		return
	}
	heir := p.gateway.Succeed()
	stop, err := from.Take(heir, func() {
		p.owns.Store(true)
		for path, f := range p.offered { // the configuration has another one now
			os.Remove(path)
			f.Close()
		}
		if err := errors.Join(p.gateway.Own(), p.admin.Own()); err != nil {
			p.log().Warn().Err(err).Msg("a socket that the process before has made cannot get the mode of the configuration")
		}
	}, func(c *codec.Coder) {
		if p.carryCounts(c); c.Err() != nil {
			p.log().Error().Err(c.Err()).Msg("what the process before has counted at its end cannot be read")
		}
	})
	close(p.arrived)
	p.moving.Unlock()
	p.manager.Ready(p.summary())
	for reason, n := range heir.Refused() {
		p.log().Warn().Int("sessions", n).Str("error", reason).Msg("sessions of the process before cannot go on here, and end there")
	}
	if stop {
		p.end()
	}
	sessions, connections := heir.Taken()
	if err != nil && sessions+connections == 0 && from.MustEnd(err) {
		p.gateway.GiveUp() // the files of the sockets are the other's
		p.admin.GiveUp()
		p.owns.Store(false)
		p.failed = fmt.Errorf("the gateway that offers its sessions goes on itself: %w", err)
		p.end()
		return
	}
	if err != nil {
		p.log().Error().Err(err).Int("sessions", sessions).Int("connections", connections).Msg("the process before has given up or ended: this one goes on with the sessions that it has")
		return
	}
	p.log().Info().Int("sessions", sessions).Int("connections", connections).Msg("taken over from the process before")
}
