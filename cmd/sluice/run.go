package main

import (
	"context"
	"crypto/fips140"
	"errors"
	"log"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"sluice/cmd/sluice/files"
	"sluice/cmd/sluice/history"
	"sluice/cmd/sluice/succession"
	"sluice/cmd/sluice/watch"
	"sluice/config"
	"sluice/internal/activation"
	"sluice/internal/admin"
	"sluice/internal/notify"
	"sluice/internal/telemetry"
	"sluice/internal/telemetry/metrics"
	"sluice/proxy"
)

func runCommand() *cobra.Command {
	var file files.Choice
	var watch bool
	c := file.Add(&cobra.Command{
		Use:     "run [FILE]",
		Short:   "Run the gateway until SIGTERM; SIGHUP reloads the configuration, SIGUSR1 logs what goes on",
		Args:    files.AtMostFile,
		PreRunE: checkFIPS,
		RunE: func(c *cobra.Command, args []string) error {
			path, err := file.Choose(args...) // once: a reload reads the same file
			if err != nil {
				return err
			}
			return run(c.Context(), func() (*config.Config, error) { return load(path) }, watch, nil)
		},
	})
	c.Flags().BoolVar(&watch, "watch", false, "reload the configuration when it changes, whatever 'watch' in it says")
	return c
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
	gateway  *proxy.Gateway
	admin    *admin.Server
	metrics  *metrics.Metrics
	manager  *notify.Manager // the service manager
	sink     *telemetry.Sink
	refusals *telemetry.Tally // of requests to the admin interface
	history  history.History
	load     func() (*config.Config, error)
	files    watch.Watcher                  // that load reads
	logger   atomic.Pointer[zerolog.Logger] // of the configuration in use
	started  time.Time
	serving  atomic.Bool // the listeners are open

	shown             atomic.Pointer[map[string]any]   // the configuration in use, without secrets
	loaded            atomic.Pointer[admin.ConfigFile] // the configuration in use
	lastReload        atomic.Pointer[admin.Reload]
	needsCertificates atomic.Bool

	applying         sync.Mutex        // held while a configuration is applied, and for what follows
	announced        proxy.Change      // the last one
	operatedAt       map[string]string // the last addresses of the admin interface that were logged
	token, tokenFile string            // that was made; "" if none was
	stopWatching     func()            // nil while the files are not watched

	watchAlways bool            // whatever the configuration says
	running     context.Context // ends with the process
	end         func()          // ends it
	background  sync.WaitGroup

	program    string              // file of the program that runs
	passed     *activation.Sockets // by a service manager
	restarting sync.Mutex          // held while a new process takes over
	succeeded  atomic.Bool         // a new process has taken over
}

func (p *process) log() *zerolog.Logger { return p.logger.Load() }

// Write logs a line that the standard library logs: net/http does, about backends
// that send what was not asked for.
func (p *process) Write(line []byte) (int, error) {
	p.log().Debug().Str("from", "standard library").Msg(strings.TrimSpace(string(line)))
	return len(line), nil
}

// run starts a gateway, calls ready (which may be nil) when it listens, with the addresses of the
// admin interface by kind, and serves until a signal comes or ctx ends. With watchAlways it reloads the
// configuration when its files change, whatever that says.
func run(ctx context.Context, load func() (*config.Config, error), watchAlways bool, ready func(proxy.Change, map[string]string)) (err error) {
	inherited, err := succession.Begin(ctx, func() error { return mistakesOf(load) })
	if err != nil {
		return err
	}
	defer func() { inherited.Fail(err) }()
	now, cut := context.WithCancel(context.Background())
	defer cut()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ends := make(chan os.Signal, 2)
	signal.Notify(ends, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(ends)
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	usr1 := make(chan os.Signal, 1)
	notifyStatus(usr1)
	defer signal.Stop(usr1)

	limit, of := setMemoryLimit(os.DirFS("/")) // before other parts, which read the limit once
	defer runtime.KeepAlive(reservedHeap(debug.SetMemoryLimit(-1)))
	sink := telemetry.NewSink(os.Stdout)
	defer sink.Close()
	p := newProcess(load, sink, inherited)
	p.manager = notify.FromEnvironment(func(err error) {
		p.log().Warn().Err(err).Msg("the service manager cannot be told what the gateway does: it may end a gateway from which it hears nothing")
	})
	p.running, p.end, p.watchAlways = ctx, stop, watchAlways
	cfg, err := p.read()
	if err != nil {
		return err
	}
	p.applying.Lock()
	change, err := p.apply(cfg)
	p.applying.Unlock()
	defer p.close()
	if err == nil {
		err = p.inherit(inherited.State)
	}
	if err != nil {
		return err
	}
	log.SetFlags(0)
	log.SetOutput(p)
	if limit > 0 {
		p.log().Info().Int64("bytes", limit).Msg("memory limit: nine tenths of what " + of + " has (GOMEMLIMIT overrides it)")
	}
	p.serving.Store(true)
	p.log().Info().Str("version", version).Str("config", absolute(cfg.File)).Msg("ready")
	if !inherited.Continues() {
		p.manager.Ready(p.summary())
	}
	if ready != nil {
		ready(change, p.admin.Addresses())
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
	return nil
}

// stopAtSignals calls stop at the first signal, unless ctx has ended, and cut at the next one, unless now
// has ended. Further ones do nothing.
func (p *process) stopAtSignals(ctx, now context.Context, signals <-chan os.Signal, stop, cut func()) {
	select {
	case <-signals:
		stop()
	case <-ctx.Done():
	}
	p.log().Info().Msg("shutting down")
	p.manager.Stopping("draining")
	select {
	case <-signals:
		p.log().Info().Msg("second signal: what is left is cut")
		cut()
	case <-now.Done():
	}
}

// newProcess returns a process without a configuration.
func newProcess(load func() (*config.Config, error), sink *telemetry.Sink, inherited *succession.Inherited) *process {
	p := &process{load: load, sink: sink, started: time.Now(), metrics: metrics.New(version), passed: inherited.Sockets}
	p.program, _ = os.Executable() // now: its file may be replaced
	p.metrics.CountFunc("sluice_log_records_dropped_total", "Log records that were dropped because the reader of the log is too slow.", sink.Dropped)
	p.refusals = telemetry.NewTally(p.logRefusals)
	p.gateway = proxy.New(func(c config.Log) zerolog.Logger {
		sink.SetLevel(level(c.Level))
		l := sink.Logger(format(c.Format))
		p.logger.Store(&l)
		return l
	}, proxy.Options{Version: version, Metrics: p.metrics, Watched: sink.Watched, Sockets: inherited.Sockets, Clock: inherited.Clock, Inherited: inherited.Listeners})
	o := operator{p.gateway.Operator, p}
	p.metrics.GaugeFunc("sluice_ready", "1 while /readyz says that clients may be sent here, else 0.", o.ready)
	p.admin = admin.NewServer(o, log.New(p, "", 0))
	p.admin.Inherit(inherited.Admin)
	return p
}

// close closes the admin interface.
func (p *process) close() {
	p.admin.Close()
	p.applying.Lock()
	defer p.applying.Unlock()
	if p.tokenFile != "" && !p.succeeded.Load() {
		os.Remove(p.tokenFile)
	}
}

// apply makes a configuration the one in use, or changes nothing. The caller holds the lock.
func (p *process) apply(cfg *config.Config) (change proxy.Change, err error) {
	options, err := p.adminOptions(cfg)
	if err != nil {
		return change, err
	}
	interfaces, err := p.admin.Prepare(options)
	if err != nil {
		at := "admin"
		if wrong, ok := errors.AsType[*admin.ListenError](err); ok {
			at += "." + wrong.Key
		}
		return change, config.Problems{cfg.Problem(cfg.Position(at), at, "%v", err)}
	}
	if err = p.keepToken(&options, interfaces.Warning); err != nil {
		err = config.Problems{cfg.Problem(cfg.Position("admin.address"), "admin.address", "no token is given, and none can be kept beside the Unix socket (set 'token' or 'token_file'): %v", err)}
	} else {
		change, err = p.gateway.Apply(cfg)
	}
	if err != nil {
		interfaces.Cancel()
		return change, err
	}
	now := time.Now()
	p.loaded.Store(&admin.ConfigFile{File: absolute(cfg.File), SHA256: cfg.Hash, Loaded: now})
	shown := cfg.Show()
	p.shown.Store(&shown)
	interfaces.Commit()
	p.metrics.ReloadOK.Set(1)
	p.metrics.ReloadTime.Set(float64(now.Unix()))
	p.needsCertificates.Store(cfg.Admin.Ready.Certificates)
	p.announce(change)
	p.announceAdmin(interfaces.Warning)
	p.watch(cfg.Watch || p.watchAlways)
	return change, nil
}

// read reads the configuration. The watch of its files compares with what they had before.
func (p *process) read() (cfg *config.Config, err error) {
	p.files.Load(func() []string {
		cfg, err = p.load()
		return cfg.Sources()
	})
	return cfg, err
}

// watch begins or ceases to reload the configuration when its files change. The caller holds the lock.
func (p *process) watch(on bool) {
	switch {
	case on && p.stopWatching == nil:
		var ctx context.Context
		ctx, p.stopWatching = context.WithCancel(p.running)
		p.background.Go(func() {
			p.files.Run(ctx, func() { p.reload() }, func(err error) {
				p.log().Warn().Err(err).Msg("the files of the configuration are watched by polling")
			})
		})
		p.log().Info().Msg("the files of the configuration are watched: a change is a reload")
	case !on && p.stopWatching != nil:
		p.stopWatching()
		p.stopWatching = nil
		p.log().Info().Msg("the files of the configuration are not watched any more")
	}
}

// absolute returns the whole path of a file, where there is one.
func absolute(file string) string {
	if _, err := os.Stat(file); err != nil {
		return file
	}
	if whole, err := filepath.Abs(file); err == nil {
		return whole
	}
	return file
}

// reload loads and applies the configuration again. When there is a mistake in
// it, nothing changes.
func (p *process) reload() (admin.Reload, error) {
	p.applying.Lock()
	defer p.applying.Unlock()
	p.manager.Reloading()
	began := time.Now()
	cfg, err := p.read()
	var change proxy.Change
	if err == nil {
		change, err = p.apply(cfg)
	}
	took := time.Since(began)
	r := admin.Reload{Time: began, Millis: float64(took.Microseconds()) / 1000, OK: err == nil}
	p.metrics.ReloadSeconds.Set(took.Seconds())
	if err != nil {
		err = located(err)
		r.Mistakes = mistakes(err)
		p.metrics.Reloads.WithLabelValues("refused").Inc()
		p.metrics.ReloadOK.Set(0)
		p.log().Error().Err(err).Msg("configuration refused")
	} else {
		r.Report = change.Sessions
		p.metrics.Reloads.WithLabelValues("ok").Inc()
		p.log().Info().Int("sessions_kept", r.Kept).Int("sessions_ended", r.Ended).Str("report", r.Text).Msg("configuration reloaded")
	}
	p.lastReload.Store(&r)
	p.manager.Ready(p.summary())
	return r, err
}

// announceAdmin logs where the admin interface is, where that is new.
func (p *process) announceAdmin(warning error) {
	if warning != nil {
		p.log().Warn().Err(warning).Msg("the Unix socket of the admin interface is missing or not as configured: 'sluice status' and its like may not find this gateway")
	}
	now := p.admin.Addresses()
	for _, kind := range slices.Sorted(maps.Keys(now)) {
		if p.operatedAt[kind] == now[kind] {
			continue
		}
		record := p.log().Info().Str("kind", kind).Str("address", now[kind])
		if kind == "tcp" && p.tokenFile != "" {
			record.Str("token_file", p.tokenFile)
		}
		record.Msg("admin interface")
	}
	p.operatedAt = now
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
