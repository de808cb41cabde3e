package main

import (
	"context"
	"crypto/fips140"
	"errors"
	"log"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"sluice/config"
	"sluice/internal/telemetry"
	"sluice/proxy"
)

func runCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:     "run",
		Short:   "Run the gateway until SIGTERM; SIGHUP reloads the configuration, SIGUSR1 logs what goes on",
		Args:    cobra.NoArgs,
		PreRunE: checkFIPS,
		RunE: func(c *cobra.Command, _ []string) error {
			return run(c.Context(), func() (*config.Config, error) { return load(path) }, nil)
		},
	}
	return configFlag(c, &path)
}

// checkFIPS returns an error in a mode of Go's cryptography in which no WebSocket
// session could begin.
func checkFIPS(*cobra.Command, []string) error {
	if fips140.Enforced() {
		return errors.New("GODEBUG=fips140=only: a WebSocket handshake needs SHA-1 (RFC 6455, section 4.2.2), which this mode forbids; fips140=on uses the same module and allows it")
	}
	return nil
}

// process is the running program: a gateway, and the source of its configuration.
type process struct {
	gateway   *proxy.Gateway
	load      func() (*config.Config, error)
	logger    atomic.Pointer[zerolog.Logger] // of the configuration in use
	announced proxy.Change                   // the last one
}

func (p *process) log() *zerolog.Logger { return p.logger.Load() }

// Write logs a line that the standard library logs: net/http does, about backends
// that send what was not asked for.
func (p *process) Write(line []byte) (int, error) {
	p.log().Debug().Str("from", "standard library").Msg(strings.TrimSpace(string(line)))
	return len(line), nil
}

// run starts a gateway, calls ready (which may be nil) when it listens, and serves
// until a signal comes or ctx ends.
func run(ctx context.Context, load func() (*config.Config, error), ready func(proxy.Change)) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	usr1 := make(chan os.Signal, 1)
	notifyStatus(usr1)
	defer signal.Stop(usr1)

	limit, of := setMemoryLimit(os.DirFS("/")) // first: other parts read the limit once
	defer runtime.KeepAlive(reservedHeap(debug.SetMemoryLimit(-1)))
	sink := telemetry.NewSink(os.Stdout)
	defer sink.Close()
	p := &process{load: load}
	p.gateway = proxy.New(func(c config.Log) zerolog.Logger {
		l := sink.Logger(level(c.Level), format(c.Format))
		p.logger.Store(&l)
		return l
	})
	cfg, err := load()
	if err != nil {
		return err
	}
	change, err := p.gateway.Apply(cfg)
	if err != nil {
		return err
	}
	log.SetFlags(0)
	log.SetOutput(p)
	p.announce(change)
	if limit > 0 {
		p.log().Info().Int64("bytes", limit).Msg("memory limit: nine tenths of what " + of + " has (GOMEMLIMIT overrides it)")
	}
	p.log().Info().Str("version", version).Str("config", cfg.File).Msg("ready")
	if ready != nil {
		ready(change)
	}

	var background sync.WaitGroup
	background.Go(func() { collectAfterBursts(ctx) })
	background.Go(func() {
		for {
			select {
			case <-ctx.Done():
				stop() // a second signal ends the process at once
				p.log().Info().Msg("shutting down")
				return
			case <-hup:
				p.reload()
			case <-usr1:
				p.logStatus()
			}
		}
	})
	p.gateway.Run(ctx)
	background.Wait()
	p.log().Info().Msg("stopped")
	return nil
}

// reload loads and applies the configuration again. When there is a mistake in
// it, nothing changes.
func (p *process) reload() {
	cfg, err := p.load()
	var change proxy.Change
	if err == nil {
		change, err = p.gateway.Apply(cfg)
	}
	if err != nil {
		p.log().Error().Err(err).Msg("configuration refused")
		return
	}
	p.announce(change)
	p.log().Info().Int("sessions_kept", change.SessionsKept).Int("sessions_ended", change.SessionsEnded).Msg("configuration reloaded")
}

// announce logs the listeners and the root certificate that a change has added.
func (p *process) announce(c proxy.Change) {
	for _, l := range c.Listeners {
		if !slices.Contains(p.announced.Listeners, l) {
			p.log().Info().Str("listener", l.Name).Str("address", l.Address).Bool("tls", l.TLS).Msg("listening")
		}
	}
	if c.RootFile != "" && c.RootFile != p.announced.RootFile {
		p.log().Info().Str("file", c.RootFile).Msg("certificates come from the local CA: clients have to trust its root")
	}
	p.announced = c
}

// level returns the log level of this name, which package config has checked.
func level(name string) zerolog.Level {
	l, err := zerolog.ParseLevel(name)
	if err != nil {
		return zerolog.InfoLevel
	}
	return l
}

// format returns the log format of this name; that of "auto" depends on whether
// the log goes to a terminal.
func format(name string) telemetry.Format {
	info, err := os.Stdout.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	switch {
	case name == "json", name == "auto" && !terminal:
		return telemetry.JSON
	case terminal:
		return telemetry.Colored
	}
	return telemetry.Pretty
}
