package config

import (
	"os"
	"path/filepath"
	"strings"
)

// checker finds what is wrong with a decoded configuration beyond the form of
// single values, brings its values into one spelling and resolves its
// references and relative paths.
type checker struct {
	*decoder
	config   *Config
	dir      string
	readFile func(string) ([]byte, error)
}

func (k *checker) check() {
	c := k.config
	k.stateDir("state_dir")
	k.tls("tls")
	k.trustedProxies("trusted_proxies")
	k.listeners("listeners")
	for i := range c.Backends {
		k.backend(&c.Backends[i], path("backends").key(c.Backends[i].Name))
	}
	k.routes("routes")
	k.list("log.redact", c.Log.Redact, func(name *string) string {
		if *name == "" || strings.ContainsAny(*name, "?&=") {
			return "is not the name of a query parameter"
		}
		return ""
	})
}

// list checks the elements of a list of text and that none comes twice. The
// function returns what is wrong with one, or "", and may change its spelling.
func (k *checker) list(at path, values []string, clean func(value *string) (wrong string)) {
	lines := make(map[string]int, len(values))
	for i := range values {
		at := at.index(i)
		if !k.good(at) {
			continue
		}
		if wrong := clean(&values[i]); wrong != "" {
			k.rejectName(at, wrong)
			continue
		}
		if line, twice := lines[values[i]]; twice {
			k.reject(at, "is listed twice, first at line %d", line)
			continue
		}
		lines[values[i]] = k.pos(at).Line
	}
}

func (k *checker) trustedProxies(at path) {
	lines := map[Proxy]int{}
	for i, proxy := range k.config.TrustedProxies {
		at := at.index(i)
		if !k.good(at) {
			continue
		}
		if line, twice := lines[proxy]; twice {
			k.reject(at, "is listed twice, first at line %d", line)
		}
		lines[proxy] = k.pos(at).Line
	}
}

// text tells whether the file gives at a text that is good so far; an empty one
// is a problem.
func (k *checker) text(at path, value string) bool {
	if k.good(at) && value == "" {
		k.reject(at, "is empty: give it a value or remove the key")
	}
	return k.good(at)
}

// resolve makes the file name at start from the directory of the configuration.
func (k *checker) resolve(at path, name *string) {
	switch {
	case !k.text(at, *name):
	case strings.ContainsRune(*name, 0):
		k.reject(at, "has a NUL byte")
	case !filepath.IsAbs(*name):
		*name = filepath.Join(k.dir, *name)
	}
}

// secret returns the text of the file that the value at names, without a byte
// order mark and the line break at its end. Not ok means that there is none;
// why is reported.
func (k *checker) secret(at path, file string) (text string, ok bool) {
	content, err := k.readFile(file)
	text = strings.TrimPrefix(string(content), "\ufeff")
	text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	switch {
	case err != nil:
		k.reject(at, "cannot be read: %s", cause(err))
	case strings.HasPrefix(text, "\xff\xfe"), strings.HasPrefix(text, "\xfe\xff"), strings.ContainsRune(text, 0):
		k.reject(at, "is a file in UTF-16, or no text: save it as UTF-8")
	case strings.TrimSpace(text) == "":
		k.reject(at, "is a file with nothing in it: write the value into it")
	default:
		return text, true
	}
	return "", false
}

func (k *checker) stateDir(at path) {
	dir := &k.config.StateDir
	if k.has(at) {
		k.resolve(at, dir)
		return
	}
	home, _ := k.getenv("HOME")
	switch {
	case os.Geteuid() == 0:
		*dir = "/var/lib/sluice"
	case home != "":
		*dir = filepath.Join(home, ".local", "state", "sluice")
	case k.has("tls.self_signed") || k.has("tls.acme") && !k.has("tls.acme.cache"):
		k.fail(at, "HOME is not set, so there is no default for the directory that keeps certificates: set state_dir")
	}
}
