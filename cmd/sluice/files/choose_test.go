package files

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// choose returns what a command line of a command with a [Choice] means.
func choose(t *testing.T, args ...string) (file string, err error) {
	t.Helper()
	var f Choice
	c := f.Add(&cobra.Command{Use: "run [FILE]", Args: AtMostFile, SilenceErrors: true, SilenceUsage: true, RunE: func(_ *cobra.Command, args []string) error {
		file, err = f.Choose(args...)
		return err
	}})
	c.SetArgs(args)
	if failed := c.Execute(); failed != nil {
		err = failed
	}
	return file, err
}

func TestTheCommandLineNamesAConfiguration(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string
		err  string
	}{
		{name: "argument", args: []string{"a.yaml"}, want: "a.yaml"},
		{name: "flag", args: []string{"--config", "a.yaml"}, want: "a.yaml"},
		{name: "short flag", args: []string{"-c", "a.yaml"}, want: "a.yaml"},
		{name: "both, the same", args: []string{"-c", "./a.yaml", "a.yaml"}, want: "a.yaml"},
		{name: "both, different", args: []string{"-c", "b.yaml", "a.yaml"}, err: "two configurations are named, a.yaml and --config b.yaml: leave one of them off"},
		{name: "two arguments", args: []string{"a.yaml", "b.yaml"}, err: `"b.yaml" is one argument too many: run takes one file`},
		{name: "empty argument", args: []string{""}, err: "the name of the configuration is empty: leave it off, or name a file"},
		{name: "empty flag", args: []string{"--config="}, err: "the name of the configuration is empty: leave it off, or name a file"},
		{name: "empty flag and an argument", args: []string{"--config=", "a.yaml"}, err: "two configurations are named, a.yaml and --config : leave one of them off"},
	}
	t.Chdir(t.TempDir())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := choose(t, tt.args...)
			if got != tt.want || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
				t.Errorf("%q mean %q, %v; want %q, %s", tt.args, got, err, tt.want, tt.err)
			}
		})
	}
}

func TestTheFirstPlaceWithAConfigurationCounts(t *testing.T) {
	t.Chdir(t.TempDir())
	system := filepath.Join(t.TempDir(), "sluice.yaml")
	places := []string{"sluice.yaml", system}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := find(places); err == nil || !strings.Contains(err.Error(), "sluice.yaml in "+dir+" nor "+system) || !strings.Contains(err.Error(), "sluice init") {
		t.Errorf("find with no file = %q, %v; want an error with both places and what to do", got, err)
	}
	for _, place := range []string{system, "sluice.yaml"} {
		if err := os.WriteFile(place, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := find(places); got != place || err != nil {
			t.Errorf("find with %s = %q, %v; want it", place, got, err)
		}
	}
	if got, err := choose(t); got != "sluice.yaml" || err != nil {
		t.Errorf("no argument means %q, %v; want the file in the working directory", got, err)
	}
}
