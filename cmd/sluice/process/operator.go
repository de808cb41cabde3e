package process

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"sluice/config"
	"sluice/internal/admin"
	"sluice/proxy/operate"
)

// operator is the process for those who operate it: an [admin.Gateway].
type operator struct {
	*operate.Operator
	*process
}

// Status implements [admin.Gateway].
func (o operator) Status() admin.Status {
	s := admin.Status{
		Version: o.process.Version, PID: os.Getpid(), Started: o.started, UptimeSeconds: time.Since(o.started).Seconds(),
		Config: *o.loaded.Load(), LastReload: o.lastReload.Load(), State: "running",
		LogLevel: o.sink.Level().String(), Listeners: o.gateway.Listeners(),
	}
	if o.gateway.Draining() {
		s.State = "draining"
	}
	o.AddUse(&s)
	s.Answered = o.metrics.Totals().Requests
	return s
}

// summary returns the state of the gateway in one line, for the service manager to show.
func (p *process) summary() string {
	s := operator{p.gateway.Operator, p}.Status()
	text := fmt.Sprintf("%s, sessions: %d", s.State, s.Sessions.Used)
	r := s.LastReload
	if r == nil {
		return text
	}
	text += "; reload at " + r.Time.Format("2006-01-02 15:04:05 MST")
	if !r.OK {
		return fmt.Sprintf("%s refused, mistakes: %d (see the log)", text, len(r.Mistakes))
	}
	return text + ": " + r.Text
}

// Config implements [admin.Gateway].
func (o operator) Config() map[string]any { return *o.shown.Load() }

// Ready implements [admin.Gateway].
func (o operator) Ready() (r admin.Ready) {
	switch {
	case o.gateway.Draining():
		r.Reasons = append(r.Reasons, "the gateway is draining")
	case !o.serving.Load():
		r.Reasons = append(r.Reasons, "the gateway is starting")
	case len(o.gateway.Listeners()) == 0:
		r.Reasons = append(r.Reasons, "no listener is open")
	}
	missing := &r.Notes
	if o.needsCertificates.Load() {
		missing = &r.Reasons
	}
	for _, c := range o.Certificates() {
		if c.From == "acme" && c.Expiry == nil {
			*missing = append(*missing, strings.TrimSuffix("there is no certificate for "+strings.Join(c.Names, ", ")+" yet: "+c.Error, ": "))
		}
	}
	r.Ready = len(r.Reasons) == 0
	return r
}

// History implements [admin.Gateway].
func (o operator) History() admin.History { return o.history.List() }

// ready is Ready as a number.
func (o operator) ready() float64 {
	if o.Ready().Ready {
		return 1
	}
	return 0
}

// Reload implements [admin.Gateway].
func (o operator) Reload() (admin.Reload, error) { return o.reload() }

// Change implements [admin.Gateway].
func (o operator) Change() (done func(), err error) {
	if !o.moving.TryRLock() {
		return nil, errors.New("a restart is under way, and what is changed now may be lost with it: try again when it is over")
	}
	return o.moving.RUnlock, nil
}

// Restart implements [admin.Gateway].
func (o operator) Restart() (admin.Restart, error) { return o.restart() }

// SetLogLevel implements [admin.Gateway].
func (o operator) SetLogLevel(name string) error {
	switch name {
	case "debug", "info", "warn", "error":
		o.sink.SetLevel(level(name))
		o.levelSet.Store(&name)
		return nil
	}
	return fmt.Errorf("level %q is not debug, info, warn or error", name)
}

// Watch implements [admin.Gateway].
func (o operator) Watch() (admin.Watcher, func()) {
	w, stop := o.sink.Watch()
	if w == nil {
		return nil, nil
	}
	return w, stop
}

// Metrics implements [admin.Gateway].
func (o operator) Metrics() http.Handler { return o.metrics.Handler() }

// Audit implements [admin.Gateway]. The record is written whatever the level of the log is.
func (o operator) Audit(a admin.Action) {
	e := withWho(o.log().Log().Str("level", "info"), a.Who).Str("action", a.What)
	if a.Target != "" {
		e.Str("target", a.Target)
	}
	if a.Count >= 0 {
		e.Int("sessions", a.Count)
	}
	if a.Err != nil {
		e.Err(a.Err)
	}
	e.Msg("operator")
}

// Refused implements [admin.Gateway].
func (o operator) Refused(who admin.Who, why string) {
	withWho(o.log().Debug(), who).Str("reason", why).Msg("request to the admin interface refused")
	o.refusals.Count(why)
}

// logRefusals logs requests to the admin interface that were refused.
func (p *process) logRefusals(why string, since, total uint64) {
	p.log().Warn().Str("reason", why).Uint64("requests", since).Uint64("total", total).Msg("requests to the admin interface refused")
}

// withWho adds who did something to a record.
func withWho(e *zerolog.Event, w admin.Who) *zerolog.Event {
	if w.Address != "" {
		return e.Str("address", w.Address).Str("token", w.Token)
	}
	return e.Int("uid", w.UID).Int("pid", w.PID)
}

// located returns err with the whole names of files: an operator who reads it may be in another
// directory than the gateway.
func located(err error) error {
	problems, ok := errors.AsType[config.Problems](err)
	if !ok {
		return err
	}
	problems = slices.Clone(problems)
	for i := range problems {
		problems[i].File = absolute(problems[i].File)
	}
	return problems
}

// mistakes returns why a configuration was refused, one sentence each.
func mistakes(err error) (all []string) {
	var problems config.Problems
	if !errors.As(err, &problems) {
		return []string{err.Error()}
	}
	for _, p := range problems {
		all = append(all, p.Error())
	}
	return all
}

// logStatus logs the counts of the gateway: a record for each route that has a
// backend, one for each endpoint, and one for each event loop.
func (p *process) logStatus() {
	for _, r := range p.gateway.Routes() {
		p.log().Info().Str("route", r.Route).Int64("open", r.Open).Uint64("sessions", r.Sessions).
			Uint64("client_messages", r.FromClient.Messages).Uint64("client_bytes", r.FromClient.Bytes).
			Uint64("backend_messages", r.FromBackend.Messages).Uint64("backend_bytes", r.FromBackend.Bytes).
			Msg("status of a route")
	}
	for _, b := range p.gateway.Backends() {
		for _, e := range b.Endpoints {
			p.log().Info().Str("backend", b.Backend).Str("endpoint", e.Endpoint).Str("state", e.State).
				Int("sessions", e.Sessions).Int("requests", e.Requests).Msg("status of an endpoint")
		}
	}
	for _, l := range p.gateway.Loops() {
		p.log().Info().Int("loop", l.Number).Int64("connections", l.Connections).Uint64("turns", l.Turns).
			Float64("turn_p99_ms", l.P99Millis).Float64("turn_p99_9_ms", l.P999Millis).Float64("turn_longest_ms", l.LongestMillis).
			Msg("status of a loop")
	}
}
