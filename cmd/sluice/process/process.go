// Package process is the program that runs a gateway: it applies configurations, listens to signals, reports to the service
// manager, and lets a new process take over.
package process

import (
	"context"
	"log"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

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

// process is the running program: a gateway, and the source of its configuration.
type process struct {
	Options
	gateway  *proxy.Gateway
	admin    *admin.Server
	metrics  *metrics.Metrics
	manager  *notify.Manager // the service manager
	sink     *telemetry.Sink
	refusals *telemetry.Tally // of requests to the admin interface
	history  history.History
	files    watch.Watcher                  // that load reads
	logger   atomic.Pointer[zerolog.Logger] // of the configuration in use
	started  time.Time
	serving  atomic.Bool // the listeners are open

	shown             atomic.Pointer[map[string]any]   // the configuration in use, without secrets
	levelSet          atomic.Pointer[string]           // the level of the log that an operator has set; nil if it is the configuration's
	loaded            atomic.Pointer[admin.ConfigFile] // the configuration in use
	lastReload        atomic.Pointer[admin.Reload]
	needsCertificates atomic.Bool

	applying         sync.Mutex        // held while a configuration is applied, and for what follows
	announced        proxy.Change      // the last one
	operatedAt       map[string]string // the last addresses of the admin interface that were logged
	token, tokenFile string            // that was made; "" if none was
	stopWatching     func()            // nil while the files are not watched

	running    context.Context // ends with the process
	failed     error           // why it ends, if that is a failure; set before running ends
	end        func()          // ends it
	background sync.WaitGroup

	program    string                           // file of the program that runs
	successor  bool                             // it has taken over from another process
	passed     *activation.Sockets              // by a service manager
	offer      *succession.Offer                // to processes of other containers; nil without one
	offerTaken bool                             // another process has the socket of the offer
	offered    map[string]*os.File              // sockets of the offer of the process before, by path
	restarting sync.Mutex                       // held while a new process takes over, or this one until the one before has ended
	arrived    chan struct{}                    // closed when the sessions of the process before have come, or there is none
	moving     sync.RWMutex                     // held for writing while sessions move, and for reading while an operator changes something
	owns       atomic.Bool                      // the files of its sockets are its own, and not those of the process before
	heir       atomic.Pointer[succession.Child] // the process that has taken over; nil before
}

func (p *process) log() *zerolog.Logger { return p.logger.Load() }

// Write logs a line that the standard library logs: net/http does, about backends
// that send what was not asked for.
func (p *process) Write(line []byte) (int, error) {
	p.log().Debug().Str("from", "standard library").Msg(strings.TrimSpace(string(line)))
	return len(line), nil
}

// open makes the gateway and the admin interface, without a configuration.
func (p *process) open(inherited *succession.Inherited) {
	sink := p.sink
	p.passed, p.offered = inherited.Sockets, inherited.Offer
	p.owns.Store(!inherited.Continues())
	p.successor = inherited.Continues()
	if p.arrived = make(chan struct{}); !inherited.Continues() {
		close(p.arrived)
	}
	p.metrics.CountFunc("sluice_log_records_dropped_total", "Log records that were dropped because the reader of the log is too slow.", sink.Dropped)
	p.refusals = telemetry.NewTally(p.logRefusals)
	p.gateway = proxy.New(func(c config.Log) zerolog.Logger {
		sink.SetLevel(level(c.Level))
		p.levelSet.Store(nil)
		l := sink.Logger(format(c.Format))
		p.logger.Store(&l)
		return l
	}, proxy.Options{Version: p.Version, Metrics: p.metrics, Watched: sink.Watched, Sockets: inherited.Sockets, Clock: inherited.Clock, Inherited: inherited.Listeners})
	o := operator{p.gateway.Operator, p}
	p.metrics.GaugeFunc("sluice_ready", "1 while /readyz says that clients may be sent here, else 0.", o.ready)
	p.admin = admin.NewServer(o, log.New(p, "", 0))
	p.admin.Inherit(inherited.Admin)
}

// close closes the admin interface and the offer, and removes what is this process's alone.
func (p *process) close() {
	p.admin.Close()
	p.applying.Lock()
	defer p.applying.Unlock()
	p.closeOffer()
	if p.tokenFile != "" && p.owns.Load() && p.heir.Load() == nil {
		os.Remove(p.tokenFile)
	}
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
