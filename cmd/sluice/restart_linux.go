//go:build !portable

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"sluice/cmd/sluice/succession"
	"sluice/internal/admin"
	"sluice/internal/codec"
	"sluice/internal/takeover"
	"sluice/proxy"
	"sluice/proxy/handover"
)

// restart makes a new process take over, and this one end. If that fails, this one goes on.
func (p *process) restart() (r admin.Restart, err error) {
	if !p.restarting.TryLock() {
		return r, errors.New("a restart is under way: a new process takes over at this moment")
	}
	defer p.restarting.Unlock()
	if os.Getpid() == 1 {
		return r, errors.New("this is process 1 of a container, which ends with it: replace the container (docs/recipes/kubernetes.md)")
	}
	p.applying.Lock()
	defer p.applying.Unlock()
	if p.running.Err() != nil || p.succeeded.Load() {
		return r, proxy.ErrStopped
	}
	began := time.Now()
	child, err := succession.Start(p.program, os.Args[1:], p.manager.Environment())
	if err != nil {
		return r, fmt.Errorf("the program %s cannot be started: %w", p.program, err)
	}
	handed, err := p.handOver(child)
	if err != nil {
		return r, err
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	r = admin.Restart{
		PID: child.PID(), Millis: ms(time.Since(began)), Sessions: handed.Sessions, Stayed: p.gateway.OpenSessions(),
		PauseP50: ms(handed.Quantile(0.5)), PauseP99: ms(handed.Quantile(0.99)), PauseMax: ms(handed.Quantile(1)),
	}
	p.log().Info().Int("pid", r.PID).Int("sessions", r.Sessions).Int("sessions_ending", r.Stayed).Float64("pause_max_ms", r.PauseMax).
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
	count := func(c *codec.Coder) { p.metrics.Carry(c) }
	over, failed := make(chan handover.Result, 1), make(chan error, 1)
	// Its context is not that of the process: that ends while the rest is waited for.
	p.background.Go(func() {
		lives, err := child.Give(context.WithoutCancel(p.running), func(ctx context.Context, conn *net.UnixConn, d takeover.Deadlines) (accepts bool, err error) {
			handed, err := p.gateway.HandOver(ctx, conn, handover.Source{
				Others: sockets, State: count, Rest: count,
				Last: func() { p.manager.MainPID(child.PID()) },
				Done: func(h handover.Result) {
					p.giveUp()
					over <- h
					<-p.gateway.Stopped()
				},
			}, d)
			return handed.Accepts, err
		})
		switch {
		case err == nil, p.succeeded.Load():
			return
		case lives:
			p.log().Error().Err(err).Msg("restart failed half-way: the new process goes on, and this one ends")
			p.manager.MainPID(child.PID())
			p.giveUp()
			p.end()
		default:
			p.log().Error().Err(err).Msg("restart failed: this process goes on")
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
func (p *process) giveUp() {
	p.gateway.GiveUp()
	p.succeeded.Store(true)
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
	passed, err := p.passed.All()
	for _, s := range passed {
		all = append(all, takeover.Listener{Kind: succession.KindPassed, Name: s.Name, File: s.Descriptor})
	}
	return all, err
}

// inherit reads what the process before has counted and learned; nothing without one.
func (p *process) inherit(state *codec.Coder) error {
	if state == nil {
		return nil
	}
	p.metrics.Carry(state) // its error stays
	p.gateway.CarryPools(state)
	if err := state.End(); err != nil {
		return fmt.Errorf("what the process before has counted and learned: %w", err)
	}
	return nil
}

// succeed takes the sessions over from the process that has started this one to do so, if one has.
func (p *process) succeed(from *succession.Inherited) {
	if !from.Continues() {
		return
	}
	<-p.gateway.Running()
	heir := p.gateway.Succeed()
	err := from.Take(heir, func(c *codec.Coder) {
		if err := p.metrics.Carry(c); err != nil {
			p.log().Error().Err(err).Msg("what the process before has counted at its end cannot be read")
		}
	})
	p.manager.Ready(p.summary())
	if err != nil {
		p.log().Error().Err(err).Int("sessions", heir.Taken()).Msg("the process before has given up or ended: this one goes on with the sessions that it has")
		return
	}
	p.log().Info().Int("sessions", heir.Taken()).Msg("taken over from the process before")
}
