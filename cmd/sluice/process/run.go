package process

import (
	"context"
	"errors"
	"log"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"sluice/cmd/sluice/succession"
	"sluice/config"
	"sluice/internal/notify"
	"sluice/internal/telemetry"
	"sluice/internal/telemetry/metrics"
	"sluice/proxy"
)

// Options is what a process runs.
type Options struct {
	Version string
	Load    func() (*config.Config, error) // the configuration, again and again
	Watch   bool                           // the configuration is reloaded when its files change, whatever it says
	Alone   string                         // why no other process can go on with its sessions; "" if one can

	Arguments []string // of the program for such a process

	// Ready is called when the gateway listens, with the addresses of the admin interface by kind. It may be nil.
	Ready func(proxy.Change, map[string]string)
}

// Run runs a gateway until a signal comes or ctx ends.
func Run(ctx context.Context, o Options) (err error) {
	ends := make(chan os.Signal, 2)
	signal.Notify(ends, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(ends)
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	usr1 := make(chan os.Signal, 1)
	notifyStatus(usr1)
	defer signal.Stop(usr1)
	beginning, begun := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer begun()
	inherited, err := succession.Begin(beginning, func() error { return Mistakes(o.Load) })
	if err != nil {
		return err
	}
	defer func() { inherited.Fail(err) }()
	now, cut := context.WithCancel(context.Background())
	defer cut()
	ctx, stop := context.WithCancel(ctx)
	defer stop()

	limit, of := setMemoryLimit(os.DirFS("/")) // before other parts, which read the limit once
	defer runtime.KeepAlive(reservedHeap(debug.SetMemoryLimit(-1)))
	sink := telemetry.NewSink(os.Stdout)
	defer sink.Close()
	p := &process{Options: o, sink: sink, started: time.Now(), metrics: metrics.New(o.Version), program: program(os.Args[0])}
	p.manager = notify.FromEnvironment(func(err error) {
		p.log().Warn().Err(err).Msg("the service manager cannot be told what the gateway does: it may end a gateway from which it hears nothing")
	})
	p.running, p.end = ctx, stop
	cfg, err := p.read()
	if err != nil {
		return err
	}
	notAsked := p.ask(beginning, inherited, cfg)
	if beginning.Err() != nil { // told to stop before it began
		return nil
	}
	begun()
	p.open(inherited)
	if inherited.Continues() {
		p.restarting.Lock() // until succeed ends
		p.moving.Lock()     // until it has the sessions
	}
	defer p.close()
	var change proxy.Change
	err = p.inherit(inherited.State, func() (err error) {
		p.applying.Lock()
		defer p.applying.Unlock()
		change, err = p.apply(cfg)
		return err
	})
	if err != nil {
		return errors.Join(err, notAsked)
	}
	log.SetFlags(0)
	log.SetOutput(p)
	if limit > 0 {
		p.log().Info().Int64("bytes", limit).Msg("memory limit: nine tenths of what " + of + " has (GOMEMLIMIT overrides it)")
	}
	if notAsked != nil {
		p.log().Warn().Err(notAsked).Str("socket", cfg.Takeover.Socket).Msg("this process does not take over: sessions of the one before stay with that")
	}
	p.serving.Store(true)
	p.log().Info().Str("version", o.Version).Str("config", absolute(cfg.File)).Msg("ready")
	if !inherited.Continues() {
		p.manager.Ready(p.summary())
	}
	if o.Ready != nil {
		o.Ready(change, p.admin.Addresses())
	}

	p.background.Go(func() { collectAfterBursts(ctx) })
	p.background.Go(func() { p.history.Keep(ctx, p.gateway.Routes, p.metrics.Totals) })
	p.background.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hup:
				p.reload()
			case <-usr1:
				p.logStatus()
			}
		}
	})
	p.background.Go(func() { p.stopAtSignals(ctx, now, ends, stop, cut) })
	untilDrained, drained := context.WithCancel(context.WithoutCancel(ctx))
	p.background.Go(func() {
		p.succeed(inherited)
		p.manager.Run(untilDrained, p.gateway.AwaitLoops, p.summary)
	})
	p.gateway.Run(ctx, now)
	cut()
	drained()
	p.background.Wait()
	p.log().Info().Msg("stopped")
	return p.failed
}

// stopAtSignals calls stop at the first signal, and cut at the next one, unless now has ended. Further ones do nothing. Where ctx has
// ended without a signal, as when another process has taken over, the next signal is still the first one: a service manager sends
// one to both.
func (p *process) stopAtSignals(ctx, now context.Context, signals <-chan os.Signal, stop, cut func()) {
	left := 2 // signals until what is left is cut
	select {
	case <-signals:
		left--
		stop()
	case <-ctx.Done():
	}
	p.log().Info().Msg("shutting down")
	p.manager.Stopping("draining")
	for ; left > 0; left-- {
		select {
		case <-signals:
		case <-now.Done():
			return
		}
	}
	p.log().Info().Msg("second signal: what is left is cut")
	cut()
}
