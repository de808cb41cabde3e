package process

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"sluice/config"
	"sluice/internal/admin"
	"sluice/proxy"
)

// apply makes a configuration the one in use, or changes nothing. The caller holds the lock.
func (p *process) apply(cfg *config.Config) (change proxy.Change, err error) {
	options, err := p.adminOptions(cfg)
	if err != nil {
		return change, err
	}
	offer, err := p.prepareOffer(cfg)
	if err != nil {
		return change, config.Problems{cfg.Problem(cfg.Position("takeover.socket"), "takeover.socket", "%v", err)}
	}
	defer func() { p.changeOffer(offer, err == nil) }()
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
	p.watch(cfg.Watch || p.Watch)
	return change, nil
}

// read reads the configuration. The watch of its files compares with what they had before.
func (p *process) read() (cfg *config.Config, err error) {
	p.files.Load(func() []string {
		cfg, err = p.Load()
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
	select {
	case <-p.arrived: // sessions are looked up in one configuration
	case <-p.running.Done():
	}
	p.applying.Lock()
	defer p.applying.Unlock()
	if heir := p.heir.Load(); heir != nil { // whoever sent SIGHUP sent it to this one
		if heir.Asked() {
			return admin.Reload{}, errors.New("a new process has taken over, in another container: reload there")
		}
		heir.Signal(syscall.SIGHUP)
		return admin.Reload{}, errors.New("a new process has taken over: it was told to reload")
	}
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

// Mistakes returns every mistake of a configuration that can be known before it is applied.
func Mistakes(load func() (*config.Config, error)) error {
	cfg, err := load()
	if err != nil {
		return err
	}
	problems, _ := proxy.Check(cfg)
	if len(problems) > 0 {
		return problems.Sorted()
	}
	return nil
}
