package files

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"sluice/config"
	"sluice/internal/atomicfile"
)

// stdin is the name of standard input in messages.
const stdin = "standard input"

// largest is how many bytes are read of a file; those that are larger are refused anyway.
const largest = 16 << 20

// FmtCommand returns the command that lays out configurations.
func FmtCommand() *cobra.Command {
	var file Choice
	var check, diff bool
	c := &cobra.Command{
		Use:   "fmt [FILE...]",
		Short: "Lay out a configuration file in the normal form, with its comments",
		Long: "Lay out a configuration file in the normal form, with its comments.\n\n" +
			"The form has two spaces of indentation, quotes only where they are needed, and one\n" +
			"empty line at most. Keys and comments keep their order, and the file its meaning.\n" +
			"The names of files that were changed are printed. '-' lays out standard input to\n" +
			"standard output. A file that is not YAML is refused and left alone.",
		Example: "  sluice fmt                 sluice.yaml, or /etc/sluice/sluice.yaml\n" +
			"  sluice fmt --check --diff  shows what would change, and exits with 1 if anything would\n" +
			"  sluice fmt - <a.yaml       prints it laid out",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) < 2 {
				path, err := file.Choose(args...)
				if err != nil {
					return err
				}
				args = []string{path}
			} else if file.set() {
				return errors.New("--config names one configuration, and the arguments others: leave one of them off")
			}
			return layOut(c.InOrStdin(), c.OutOrStdout(), args, check, diff)
		},
	}
	c.Flags().BoolVar(&check, "check", false, "write nothing: print the names of files that are not in the normal form, and exit with 1 if there are any")
	c.Flags().BoolVar(&diff, "diff", false, "write nothing: print what would change")
	return file.Add(c)
}

// layOut lays out files. All of them are tried; the error has what went wrong with each.
func layOut(in io.Reader, out io.Writer, names []string, check, diff bool) error {
	var failed []error
	different := 0
	for _, name := range names {
		text, err := readAll(in, name)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		shown := name
		if name == "-" {
			shown = stdin
		}
		form, err := config.Format(shown, text)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		same := bytes.Equal(text, form)
		if !same {
			different++
		}
		switch {
		case check && !same && !diff:
			fmt.Fprintln(out, shown)
		case diff && !same:
			writeDiff(out, shown, string(text), string(form))
		case check, diff:
		case name == "-":
			_, err = out.Write(form)
		case !same:
			if err = atomicfile.Rewrite(name, form, 0o777); err == nil {
				fmt.Fprintln(out, name)
			}
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: it was not written: %w", shown, err))
		}
	}
	if check && different > 0 {
		failed = append(failed, fmt.Errorf("%d of %d not in the normal form: 'sluice fmt' without --check lays out", different, len(names)))
	}
	return errors.Join(failed...)
}

// readAll reads a file, or standard input for "-".
func readAll(in io.Reader, name string) ([]byte, error) {
	if name != "-" {
		f, err := os.Open(name)
		if wrong, ok := errors.AsType[*fs.PathError](err); ok {
			return nil, fmt.Errorf("%s cannot be read: %w", name, wrong.Err)
		}
		defer f.Close()
		in = f
	}
	return io.ReadAll(io.LimitReader(in, largest))
}
