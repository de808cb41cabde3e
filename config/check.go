package config

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"sluice/config/report"
	"sluice/config/schema"
	"sluice/config/spelling"
	"sluice/config/units"
)

// checker finds what is wrong with a decoded configuration beyond the form of single values, brings
// its values into one spelling and resolves its references and relative file names. Its methods take
// the path of what they check as at.
type checker struct {
	*report.Report
	types    *schema.Types
	config   *Config
	dir      string
	getenv   func(string) (string, bool)
	readFile func(string) ([]byte, error)
	ownFiles bool // readFile reads other files than those of the system
	glob     func(string) ([]string, error)
	included map[string]bool // names of the files that are read, this one too
	read     [][]byte        // texts of the files that were included
}

// check reports every mistake, and takes out of the configuration the elements that have one.
func (k *checker) check() {
	c := k.config
	k.stateDir("state_dir")
	k.tls("tls")
	k.trustedProxies("trusted_proxies")
	k.listeners("listeners")
	k.admin("admin")
	for i := range c.Backends {
		k.backend(&c.Backends[i], report.Path("backends").Key(c.Backends[i].Name))
	}
	k.routes("routes")
	k.redact("log.redact")
	k.tracing("tracing")
	k.shutdown("shutdown", "shutdown_timeout")
	k.dropBroken()
}

// shutdown checks how the gateway stops, which is said in a section or with a short form for its timeout.
func (k *checker) shutdown(section, short report.Path) {
	s := &k.config.Shutdown
	if k.Has(short) {
		if k.Has(section) {
			first, second := section, short
			if k.Pos(second).Compare(k.Pos(first)) < 0 {
				first, second = second, first
			}
			k.Fail(second, "shutdown_timeout is short for 'shutdown: { timeout }', and both are there, the first at %s: keep the section, with timeout in it", k.Where(first))
			return
		}
		s.Timeout, k.config.ShutdownTimeout = k.config.ShutdownTimeout, 0
	}
	if spread := section.Key("spread"); k.Good(spread) && s.Spread > s.Timeout {
		k.Reject(spread, "is longer than 'timeout', %s, after which sessions are cut: make it shorter, or 'timeout' longer", units.DurationText(s.Timeout))
	}
}

// secretParameters are query parameters that hold secrets of users in many applications.
var secretParameters = []string{
	"token", "access_token", "id_token", "key", "api_key", "apikey", "password", "secret", "code", "signature", "sig", "X-Amz-Signature",
}

// redact checks which query parameters are not logged, and adds those that never are unless none is to be.
func (k *checker) redact(at report.Path) {
	names := &k.config.Log.Redact
	k.list(at, *names, func(name *string) string {
		if *name == "" || strings.ContainsAny(*name, "?&=") {
			return "is not the name of a query parameter"
		}
		return ""
	})
	if k.Has(at) && len(*names) == 0 {
		return
	}
	for _, name := range secretParameters {
		if !slices.ContainsFunc(*names, func(n string) bool { return strings.EqualFold(n, name) }) {
			*names = append(*names, name)
		}
	}
}

// dropBroken takes out of the configuration every element that has a mistake.
func (k *checker) dropBroken() {
	c := k.config
	broken := func(list report.Path) func(i int) bool {
		return func(i int) bool { return k.Broken(list.Index(i)) }
	}
	c.TrustedProxies = without(c.TrustedProxies, broken("trusted_proxies"))
	c.Listeners = without(c.Listeners, broken("listeners"))
	if c.TLS != nil {
		if k.Broken("tls.acme") {
			c.TLS.ACME = nil
		}
		if k.Broken("tls.client_auth") {
			c.TLS.ClientAuth = nil
		}
		c.TLS.Certificates = without(c.TLS.Certificates, broken("tls.certificates"))
	}
	c.Backends = without(c.Backends, func(i int) bool { return k.Broken(report.Path("backends").Key(c.Backends[i].Name)) })
	c.Routes = without(c.Routes, broken("routes"))
}

// without returns the elements of s that are not broken, nil if there are none.
func without[T any](s []T, broken func(i int) bool) []T {
	var kept []T
	for i, e := range s {
		if !broken(i) {
			kept = append(kept, e)
		}
	}
	return kept
}

// setDefaults sets the defaults of v, a pointer to a struct of the configuration.
func (k *checker) setDefaults(v any) { k.types.SetDefaults(reflect.ValueOf(v).Elem()) }

// rejectName is Reject for a value that holds a host name. It shows how to write the name.
func (k *checker) rejectName(at report.Path, wrong string) {
	switch s := k.Source(at); {
	case s.Literal && strings.HasSuffix(s.Written, ";"):
		wrong = "ends in ';', which ends nothing here: leave it off"
	case s.Literal:
		wrong += spelling.Advice(s.Written, wrong)
	}
	k.Reject(at, "%s", wrong)
}

// list checks the elements of a list of texts and that none is there twice. The function returns
// what is wrong with an element, or "", and may change its spelling.
func (k *checker) list(at report.Path, values []string, clean func(value *string) (wrong string)) {
	seen := make(map[string]report.Path, len(values))
	for i := range values {
		at := at.Index(i)
		if !k.Good(at) {
			continue
		}
		if wrong := clean(&values[i]); wrong != "" {
			k.rejectName(at, wrong)
			continue
		}
		k.once(seen, values[i], at)
	}
}

// once reports an element of a list that is there already, and adds it to those seen.
func (k *checker) once(seen map[string]report.Path, value string, at report.Path) {
	if first, twice := seen[value]; twice {
		k.Reject(at, "is listed twice, first at %s", k.Where(first))
		return
	}
	seen[value] = at
}

func (k *checker) trustedProxies(at report.Path) {
	seen := map[string]report.Path{}
	for i, proxy := range k.config.TrustedProxies {
		if at := at.Index(i); k.Good(at) {
			k.once(seen, proxy.String(), at)
		}
	}
}

// text reports whether the configuration gives a text and nothing is wrong with it so far. An empty
// text is a problem.
func (k *checker) text(at report.Path, value string) bool {
	if k.Good(at) && value == "" {
		k.Reject(at, "is empty: give it a value or remove the key")
	}
	return k.Good(at)
}

// resolve makes a file name start from the directory of the configuration.
func (k *checker) resolve(at report.Path, name *string) {
	switch {
	case !k.text(at, *name):
	case strings.ContainsRune(*name, 0):
		k.Reject(at, "has a NUL byte")
	case !filepath.IsAbs(*name):
		*name = filepath.Join(k.dirOf(at), *name)
	}
}

// dirOf returns the directory that relative names start from in the file of a value.
func (k *checker) dirOf(at report.Path) string {
	if file := k.Pos(at).File; file != "" {
		return filepath.Dir(file)
	}
	return k.dir
}

// secret returns the text of a file that the value at a path names, without a byte order mark and
// the line break at its end. It is not ok if there is no text; the reason is reported.
func (k *checker) secret(at report.Path, file string) (text string, ok bool) {
	k.source(file)
	content, err := k.readFile(file)
	text = strings.TrimPrefix(string(content), "\ufeff")
	text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	switch {
	case err != nil:
		k.Reject(at, "cannot be read: %s", cause(err))
	case strings.HasPrefix(text, "\xff\xfe"), strings.HasPrefix(text, "\xfe\xff"), strings.ContainsRune(text, 0):
		k.Reject(at, "is a file in UTF-16, or no text: save it as UTF-8")
	case strings.TrimSpace(text) == "":
		k.Reject(at, "is a file with nothing in it: write the value into it")
	default:
		return text, true
	}
	return "", false
}

func (k *checker) stateDir(at report.Path) {
	dir := &k.config.StateDir
	if k.Has(at) {
		k.resolve(at, dir)
		return
	}
	home, _ := k.getenv("HOME")
	service, _ := k.getenv("STATE_DIRECTORY") // of systemd: paths with colons between them
	service, _, _ = strings.Cut(service, ":")
	switch {
	case filepath.IsAbs(service):
		*dir = service
	case os.Geteuid() == 0:
		*dir = "/var/lib/sluice"
	case home != "":
		*dir = filepath.Join(home, ".local", "state", "sluice")
	case k.Has("tls.self_signed") || k.Has("tls.acme") && !k.Has("tls.acme.cache"):
		k.Fail(at, "HOME is not set, so there is no default for the directory that keeps certificates: set state_dir")
	}
}
