package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// within runs a command of the binary to its end in a directory, with what input has to say, and
// returns its two outputs and its exit code.
func within(t *testing.T, dir, input string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := command(t, executable, args...)
	var out, failed strings.Builder
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, environment(), strings.NewReader(input), &out, &failed
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), failed.String(), cmd.ProcessState.ExitCode()
}

const least = "listeners: [127.0.0.1:0]\nroutes: [{ respond: {} }]\n" // a configuration

// Commands find the configuration in the working directory, and the gateway that runs it.
func TestTheConfigurationInTheWorkingDirectory(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	if _, err := os.Stat("/etc/sluice/sluice.yaml"); err == nil {
		t.Skip("this machine has a configuration in the other place")
	}
	for _, args := range [][]string{{"run"}, {"check"}, {"explain", "http://a.test/"}, {"health"}} {
		if _, stderr, code := within(t, dir, "", args...); code != 1 || !strings.Contains(stderr, "sluice.yaml in "+dir) || !strings.Contains(stderr, "/etc/sluice/sluice.yaml") || !strings.Contains(stderr, "sluice init") {
			t.Errorf("sluice %q without a configuration: exit code %d, %s", args, code, stderr)
		}
	}
	file := filepath.Join(dir, "sluice.yaml")
	write(t, file, least)
	for _, args := range [][]string{{"check"}, {"validate"}, {"check", "sluice.yaml"}, {"explain", "http://a.test/"}, {"explain", "sluice.yaml", "http://a.test/"}} {
		if stdout, stderr, code := within(t, dir, "", args...); code != 0 || !strings.Contains(stdout, "sluice.yaml") {
			t.Errorf("sluice %q: exit code %d, %s%s; want the name of the file", args, code, stdout, stderr)
		}
	}

	t.Chdir(dir)
	g := launch(t, "run")
	if ready := g.started(); ready.text("config") != file {
		t.Errorf("the gateway has taken %q; want %q", ready.text("config"), file)
	}
	if stdout, stderr, code := within(t, dir, "", "reload"); code != 0 {
		t.Errorf("reload of the gateway of the working directory: exit code %d, %s%s", code, stdout, stderr)
	}
}

func TestTwoConfigurationsOnOneCommandLine(t *testing.T) {
	t.Parallel()
	f, other := file(t, least), file(t, least)
	for _, args := range [][]string{{"run"}, {"check"}, {"health"}, {"trust"}} {
		if output, code := sluice(t, append(args, f, "--config", other)...); code != 1 || !strings.Contains(output, f+" and --config "+other) {
			t.Errorf("sluice %q with two files: exit code %d, %s", args, code, output)
		}
	}
}
