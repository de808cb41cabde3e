// Package nginx reads configurations of nginx.
package nginx

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"sluice/cmd/sluice/importer"
	"sluice/cmd/sluice/importer/nginx/syntax"
	"sluice/cmd/sluice/importer/nginx/vocabulary"
)

// config is a configuration while it is read.
type config struct {
	plan      *importer.Plan
	dir       string // what relative names of files start from
	http      *syntax.Scope
	first     *syntax.Directive
	upstreams map[string]*syntax.Directive
	splits    map[string]*syntax.Directive // split_clients, by variable
	backends  map[string]string            // by what they are, their names
	blocks    []*server
	tls       bool // some listener has it
	noted     map[string]bool
	carried   map[*syntax.Directive]int // limits of clients, and on how many listeners they hold
	addresses int                       // of listeners that are not for redirects
}

// Read reads the files of a source, each as nginx.conf or as a file that it includes.
func Read(source importer.Source) (*importer.Plan, error) {
	c := &config{
		plan:      &importer.Plan{From: "nginx", MergesSlashes: true},
		dir:       filepath.Dir(source.Files[0].Name),
		upstreams: map[string]*syntax.Directive{}, splits: map[string]*syntax.Directive{}, backends: map[string]string{}, noted: map[string]bool{}, carried: map[*syntax.Directive]int{},
	}
	all, err := syntax.Parse(source)
	if err != nil {
		return nil, err
	}
	c.http = &syntax.Scope{Block: c.httpBlock(all)}
	for _, d := range c.http.Block {
		if c.first == nil {
			c.first = d
		}
		switch d.Name {
		case "upstream":
			c.upstreams[d.Arg(0)] = d
		case "split_clients":
			c.splits[d.Arg(1)] = d
		case "server":
			if err := c.addServer(d); err != nil {
				return nil, err
			}
		}
	}
	if len(c.blocks) == 0 {
		return nil, errors.New(source.Files[0].Name + ": there is no server in it: import the file that has one, or that includes it")
	}
	c.trustedProxies()
	if err := c.place(); err != nil {
		return nil, err
	}
	keeps := func(r *importer.Rule) bool {
		return (r.Guard || r.Refused()) && slices.ContainsFunc(r.Paths, func(p importer.Paths) bool { return p.Text != "/" })
	}
	if slices.ContainsFunc(c.plan.Rules, keeps) && len(c.plan.Backends) > 0 {
		c.plan.Note(importer.Remark, c.first.Pos, "", "nginx takes %2F in a path for /, and sluice does not: where a backend does, it has to keep clients from these paths itself")
	}
	return c.plan, nil
}

// httpBlock returns what stands in http { }, or at the top of a file that http { } includes.
func (c *config) httpBlock(top []*syntax.Directive) (block []*syntax.Directive) {
	for _, d := range top {
		switch {
		case d.Name == "http":
			block = append(block, d.Block...)
		case d.Name == "stream" || d.Name == "mail":
			c.plan.Note(importer.Lost, d.Pos, d.Text, "sluice carries HTTP and WebSockets alone")
		case slices.Contains([]string{"events", "user", "pid", "worker_processes", "worker_rlimit_nofile", "load_module", "daemon", "master_process", "env", "worker_cpu_affinity", "worker_shutdown_timeout", "pcre_jit", "thread_pool", "timer_resolution", "worker_priority", "lock_file", "debug_points", "google_perftools_profiles"}, d.Name):
		default:
			block = append(block, d)
		}
	}
	return block
}

// absolute returns the name of a file that does not depend on where the configuration is.
func (c *config) absolute(name string) string {
	if filepath.IsAbs(name) || vocabulary.HasVariable(name) {
		return name
	}
	if abs, err := filepath.Abs(filepath.Join(c.dir, name)); err == nil {
		return abs
	}
	return name
}

// trustedProxies carries the proxies in front, if all servers trust the same ones and read what sluice reads.
func (c *config) trustedProxies() {
	const why = "sluice reads the client's address from X-Forwarded-For or Forwarded, for all servers alike: list those in 'trusted_proxies' that set or remove both"
	trusted := func(s *server) (all []string) {
		for _, d := range s.scope.All("set_real_ip_from") {
			all = append(all, strings.TrimSuffix(d.Arg(0), ":"))
		}
		return all
	}
	first := trusted(c.blocks[0])
	for _, s := range c.blocks {
		header := strings.ToLower(s.scope.Value("real_ip_header"))
		if all := s.scope.All("set_real_ip_from"); len(all) > 0 && (!slices.Equal(trusted(s), first) || header != "x-forwarded-for" && header != "proxy_protocol") {
			c.lost(all[0], why)
			return
		}
	}
	for _, s := range c.blocks {
		if !slices.Equal(trusted(s), first) { // the first ones alone
			c.lost(c.blocks[0].scope.All("set_real_ip_from")[0], why)
			return
		}
	}
	for _, address := range first {
		c.plan.Keys.Add(address, "trusted_proxies")
	}
}

// lost adds a note about the plan, once for each place.
func (c *config) lost(d *syntax.Directive, why string) {
	if !c.noted[d.Pos.String()] {
		c.noted[d.Pos.String()] = true
		c.plan.Note(importer.Lost, d.Pos, d.Text, why)
	}
}
