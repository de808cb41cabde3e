// Package config is the configuration: YAML or values made in Go in, plain data with all defaults
// out, and every mistake at once, each with its position. It knows no sockets and no certificates,
// and opens no file except the configuration itself and those of 'set_headers_file' and
// 'hmac_key_file'. The packages below it know none of its types.
package config

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"sluice/config/decode"
	"sluice/config/layout"
	"sluice/config/report"
	"sluice/config/schema"
	"sluice/internal/glob"
)

// Pos is the position of an element in its file; zero when it is in none.
type Pos = report.Pos

// Problem is one mistake in a configuration.
type Problem = report.Problem

// Problems are the mistakes of a configuration.
type Problems = report.Problems

// Options replace what a configuration takes from its surroundings. The zero value is the process's
// own.
type Options struct {
	Getenv   func(name string) (string, bool)       // nil means os.LookupEnv
	ReadFile func(name string) ([]byte, error)      // nil means os.ReadFile; with others an included file may belong to anybody
	Glob     func(pattern string) ([]string, error) // nil means the files of the system
	Dir      string                                 // what relative paths start from; "" means the working directory
}

// Load reads and parses the file at path. Relative paths in it start from the directory that holds
// it. Errors are as for [Parse].
func Load(path string) (*Config, error) {
	text, err := readConfig(path)
	if err != nil {
		return nil, Problems{{File: path, Pos: report.Start(), Message: "cannot read the configuration: " + cause(err)}}
	}
	c, included, err := parseAll(path, text, Options{Dir: filepath.Dir(path)})
	if c != nil {
		sum := sha256.New()
		for _, text := range append([][]byte{text}, included...) {
			sum.Write(text)
		}
		c.Hash = fmt.Sprintf("%x", sum.Sum(nil))
	}
	return c, err
}

// readConfig reads a file, as [readBounded] does.
func readConfig(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readBounded(f)
}

// readBounded reads all of r; of what is too big only enough to see that.
func readBounded(r io.Reader) ([]byte, error) { return io.ReadAll(io.LimitReader(r, decode.MaxSize+1)) }

// Parse decodes text, fills in defaults and checks references. The file name is only for messages.
//
// The error is nil or [Problems], all of them, in order of position. With problems the Config still
// holds what is right, so that a caller can look for more mistakes before it shows them: it lacks
// the listeners, certificates, sections of 'tls', trusted proxies, backends and routes that have a
// mistake. It is nil only when text could not be read as one YAML mapping within the limits of
// size, depth and aliases.
func Parse(file string, text []byte, o Options) (*Config, error) {
	c, _, err := parseAll(file, text, o)
	return c, err
}

// parseAll is Parse, and returns the texts of the files that were included.
func parseAll(file string, text []byte, o Options) (c *Config, included [][]byte, err error) {
	c = &Config{File: file}
	k := newChecker(report.OfFile(file), c, o)
	k.source(file)
	if !decode.YAML(k.Report, k.types, text, c, k.getenv, k.including()) {
		return nil, nil, k.Problems()
	}
	k.check()
	c.positions, c.variables = k.Positions(), k.Variables()
	return c, k.read, k.err()
}

// Complete fills in the defaults of c, a configuration that was made in Go and not by [Parse], and
// checks it as Parse checks a file. Afterwards c is what Parse returns for the same configuration
// in YAML, but for positions. Completing a Config twice is a mistake.
//
// It is a seam: only tests call it today. A configuration from Kubernetes will come this way
// (docs/roadmap.md, "A fleet").
//
// A field of c that is zero takes its default. The argument zero has the paths of fields that are to
// stay zero instead, as in "log.access" or "routes[0].timeouts.idle". A backend is named by its name,
// as in "backends.api.drain_time". Elements of lists and mappings have no default. Fields without a
// key, such as Network and Address of an [Endpoint], are filled in.
//
// The error is nil or [Problems], which have paths and no positions; c.File, which may be "", stands
// in front of each. With problems c lacks what has a mistake, as for Parse.
func Complete(c *Config, o Options, zero ...string) error {
	k := newChecker(report.OfValues(c.File), c, o)
	decode.Values(k.Report, k.types, c, zero)
	k.check()
	return k.err()
}

// Sources returns patterns (see [filepath.Match]) of the names of all files that c was read from: its own file, those
// that it includes, and those that hold secrets. It is nil for nil.
func (c *Config) Sources() []string {
	if c == nil {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(c.sources)))
}

// source notes that the configuration is read from a file.
func (k *checker) source(file string) {
	k.config.sources = append(k.config.sources, glob.Literally(file))
}

func newChecker(r *report.Report, c *Config, o Options) *checker {
	k := &checker{Report: r, types: schema.NewTypes(), config: c, dir: o.Dir, getenv: o.Getenv, readFile: o.ReadFile, glob: o.Glob, ownFiles: o.ReadFile != nil}
	if k.getenv == nil {
		k.getenv = os.LookupEnv
	}
	if k.readFile == nil {
		k.readFile = os.ReadFile
	}
	if k.glob == nil {
		k.glob = glob.Names
	}
	return k
}

// err returns the problems as an error.
func (k *checker) err() error {
	if problems := k.Problems(); len(problems) > 0 {
		return problems
	}
	return nil
}

// Schema returns the format as JSON Schema 2020-12, for editors that check and complete YAML. It is
// about the form: what refers to another part of the file is left to [Parse].
func Schema() []byte { return schema.JSON(reflect.TypeFor[Config](), "sluice configuration") }

// Format returns the text of a configuration in the normal form of package layout. It means the same,
// with the same comments in the same order. The text need not be free of mistakes, but it has to be
// one YAML mapping; else the error is [Problems].
func Format(file string, text []byte) ([]byte, error) { return layout.Format(file, text) }

// Problem returns a mistake in c that its caller found, such as a route that can never match. The
// path of a route is routes[Route.Index].
func (c *Config) Problem(pos Pos, path, format string, args ...any) Problem {
	return Problem{File: cmp.Or(pos.File, c.File), Pos: pos, Path: path, Message: fmt.Sprintf(format, args...)}
}

// Position returns the position of the value at a path, as backends.api.tls.ca, or of what is around
// it if the file does not have it. It is zero if c is from no file.
func (c *Config) Position(at string) Pos {
	if c.positions == nil {
		return Pos{}
	}
	for at := report.Path(at); at != ""; at = at.Parent() {
		if pos, ok := c.positions[at]; ok {
			return pos
		}
	}
	return report.Start()
}

// Where names a position as file:line.
func (c *Config) Where(pos Pos) string {
	return fmt.Sprintf("%s:%d", cmp.Or(pos.File, c.File), pos.Line)
}

// cause returns err without the file name, which may come from a variable.
func cause(err error) string {
	if pathError := new(fs.PathError); errors.As(err, &pathError) {
		return pathError.Err.Error()
	}
	return "it cannot be opened"
}
