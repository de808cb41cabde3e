package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/importer"
	"sluice/internal/atomicfile"
	"sluice/internal/glob"
)

// errIncomplete is returned where something of a source was not carried over, which was said already.
var errIncomplete = errors.New("not everything was carried over: read the comments of the file before you use it")

func importCommand() *cobra.Command {
	var output, from string
	var force bool
	c := &cobra.Command{
		Use:   "import FILE...",
		Short: "Turn a configuration of another proxy into one of sluice",
		Long: "Turn a configuration of nginx, Caddy, HAProxy or Traefik into one of sluice. The result is never less strict:\n" +
			"a route whose source has a rule that sluice cannot follow answers 403, with the rule beside it as a comment.\n\n" +
			"Which proxy the files are for is told by their name and what is in them, unless --from says it.\n\n" +
			"Exit code: 0 if everything was carried over, 2 if not, 1 after an error.",
		Example: "  sluice import /etc/nginx/nginx.conf --output sluice.yaml\n" +
			"  sluice import sites-enabled/app.conf sites-enabled/chat.conf\n" +
			"  sluice import /etc/caddy/Caddyfile\n" +
			"  sluice import /etc/haproxy/haproxy.cfg\n" +
			"  sluice import --from traefik traefik.yml dynamic.yml",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("import takes at least one file, as in: sluice import /etc/nginx/nginx.conf")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			result, mode, err := importFiles(args, from)
			if err != nil {
				return err
			}
			if output == "" {
				_, err = c.OutOrStdout().Write(result.Text)
			} else {
				err = writeImported(output, result.Text, mode, force)
			}
			if err != nil {
				return err
			}
			return sayImported(c.ErrOrStderr(), result)
		},
	}
	f := c.Flags()
	f.StringVarP(&output, "output", "o", "", "`file` to write; standard output unless given")
	f.StringVar(&from, "from", "", "what the files are for: `nginx, caddy, haproxy or traefik`")
	f.BoolVar(&force, "force", false, "replace the file of --output if it is there")
	return c
}

// importFiles reads the files and returns what they become, and the permissions of a file for that: it may
// have secrets of the source in it, and has no permissions that the source has not.
func importFiles(names []string, from string) (*importer.Result, fs.FileMode, error) {
	in := &sourceFiles{dir: filepath.Dir(names[0]), mode: 0o644}
	source := importer.Source{Include: in.include}
	for _, name := range names {
		f, err := in.read(name)
		if err != nil {
			return nil, 0, err
		}
		source.Files = append(source.Files, f)
	}
	kind, err := kindOf(source.Files[0], from)
	if err != nil {
		return nil, 0, err
	}
	plan, err := kind.read(source)
	if err != nil {
		return nil, 0, err
	}
	result, err := importer.Write(plan)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", names[0], err)
	}
	return result, in.mode | 0o600, nil
}

// sourceFiles reads files of a source, within bounds.
type sourceFiles struct {
	dir  string // what patterns start from
	size int
	mode fs.FileMode // permissions that all files have
}

func (s *sourceFiles) read(name string) (importer.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return importer.File{}, unreadable(name, err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		s.mode &= info.Mode()
	}
	text, err := io.ReadAll(io.LimitReader(f, importer.MaxSize+1))
	if err != nil {
		return importer.File{}, unreadable(name, err)
	}
	if s.size += len(text); s.size > importer.MaxSize {
		return importer.File{}, fmt.Errorf("%s: the files are more than %d MiB", name, importer.MaxSize>>20)
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(text) {
		return importer.File{}, fmt.Errorf("%s: it is not text in UTF-8", name)
	}
	return importer.File{Name: name, Text: string(text)}, nil
}

// unreadable says that a file cannot be read, without the function that an error of package os names.
func unreadable(name string, err error) error {
	if pathError := new(fs.PathError); errors.As(err, &pathError) {
		err = pathError.Err
	}
	return fmt.Errorf("%s cannot be read: %w", name, err)
}

// include returns the files that a pattern stands for. A name without a wildcard has to be there.
func (s *sourceFiles) include(pattern string) (files []importer.File, _ error) {
	const most = 500
	dir := s.dir
	if filepath.IsAbs(pattern) {
		dir = ""
	}
	names, err := glob.Names(filepath.Join(glob.Literally(dir), pattern))
	if pathError := new(fs.PathError); errors.As(err, &pathError) {
		return nil, unreadable(pathError.Path, err)
	}
	if err != nil {
		return nil, err
	}
	if len(names) == 0 && !strings.ContainsAny(pattern, "*?[") {
		names = []string{filepath.Join(dir, pattern)}
	}
	if len(names) > most {
		return nil, fmt.Errorf("more than %d files", most)
	}
	for _, name := range names {
		if info, err := os.Stat(name); err == nil && info.IsDir() {
			continue
		}
		f, err := s.read(name)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// writeImported writes a configuration to a file, which replaces one only with force.
func writeImported(output string, text []byte, mode fs.FileMode, force bool) error {
	err := atomicfile.Create(output, text, mode)
	switch {
	case !errors.Is(err, fs.ErrExist):
		return err
	case force:
		return atomicfile.Rewrite(output, text, mode)
	}
	return fmt.Errorf("%s is there already: say --force to replace it", output)
}

// sayImported tells what was not carried over.
func sayImported(w io.Writer, r *importer.Result) error {
	for _, n := range r.Notes {
		if n.Kind != importer.Remark {
			fmt.Fprintln(w, n)
		}
	}
	if r.Complete() {
		fmt.Fprintf(w, "carried over: %s\n", count(r.Routes, "route"))
		return nil
	}
	answer := "answer"
	if r.Refused == 1 {
		answer = "answers"
	}
	fmt.Fprintf(w, "%s, of which %d %s 403 because of rules that sluice cannot follow\n", count(r.Routes, "route"), r.Refused, answer)
	return errIncomplete
}
