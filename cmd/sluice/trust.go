package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/files"
	"sluice/config"
)

// How an administrator adds an authority on Debian and systems made from it.
const (
	systemRoots  = "/usr/local/share/ca-certificates"
	updateSystem = "update-ca-certificates"
)

func trustCommand() *cobra.Command {
	var file files.Choice
	var install bool
	c := &cobra.Command{
		Use:   "trust [FILE]",
		Short: "Print where the root of the local CA is and how to trust it, or install it",
		Long: "Print where the root of the local CA is and how to trust it.\n\n" +
			"With --install it is added to the system's authorities (on Debian and its kin, as\n" +
			"root) and, where certutil is there, to the databases of Chromium and Firefox of\n" +
			"the user who calls. The root is good for the names of 'self_signed' and for local\n" +
			"names and addresses only. It is made when the gateway first runs.",
		Args: files.AtMostFile,
		RunE: func(c *cobra.Command, args []string) error {
			path, err := file.Choose(args...)
			if err != nil {
				return err
			}
			cfg, err := config.Load(path)
			if err != nil {
				return err
			}
			root, text, err := localRoot(cfg)
			if err != nil {
				return err
			}
			if !install {
				explainTrust(c.OutOrStdout(), root)
				return nil
			}
			return installRoot(c.Context(), c.OutOrStdout(), root, text)
		},
	}
	c.Flags().BoolVar(&install, "install", false, "add the root to the stores of the system and of browsers")
	return file.Add(c)
}

// localRoot returns the file of the local CA's root certificate, and its content.
func localRoot(cfg *config.Config) (file string, text []byte, err error) {
	if cfg.TLS == nil || len(cfg.TLS.SelfSigned) == 0 {
		return "", nil, fmt.Errorf("%s: there is no local CA: 'tls.self_signed' names nothing", cfg.File)
	}
	file = filepath.Join(cfg.StateDir, "ca", "root.pem")
	text, err = os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil, fmt.Errorf("%s: there is no root yet: it is made when 'sluice run' first starts", file)
	}
	return file, text, err
}

func explainTrust(out io.Writer, root string) {
	fmt.Fprintf(out, `The root certificate of the local CA is
  %[1]s

To trust it, 'sluice trust --install' does what is possible of this:
  Debian, Ubuntu  cp %[1]s %[2]s/sluice.crt && %[3]s
  Fedora, RHEL    cp %[1]s /etc/pki/ca-trust/source/anchors/sluice.pem && update-ca-trust
  macOS           security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain %[1]s
  Windows         certutil -addstore -f Root %[1]s
  Chromium        certutil -A -d sql:$HOME/.pki/nssdb -t C,, -n sluice -i %[1]s
  Firefox         the same with -d sql: and the directory of the profile
  curl, once      curl --cacert %[1]s ...
`, root, systemRoots, updateSystem)
}

// installRoot adds the root to the authorities of the system and of the browsers.
// It tries all of them, and returns the failures.
func installRoot(ctx context.Context, out io.Writer, root string, text []byte) error {
	sum := sha256.Sum256(text)
	name := "sluice-" + hex.EncodeToString(sum[:4]) // each root has a name of its own: several may be in use
	failed := []error{installSystem(ctx, out, name, text)}
	certutil, err := exec.LookPath("certutil")
	if err != nil {
		fmt.Fprintln(out, "Browsers that keep authorities of their own were left out: there is no certutil (Debian: libnss3-tools)")
		return errors.Join(failed...)
	}
	for _, database := range browserDatabases() {
		cmd := exec.CommandContext(ctx, certutil, "-A", "-d", "sql:"+database, "-t", "C,,", "-n", name, "-i", root)
		if text, err := cmd.CombinedOutput(); err != nil {
			failed = append(failed, fmt.Errorf("%s: certutil: %w: %s", database, err, bytes.TrimSpace(text)))
			continue
		}
		fmt.Fprintf(out, "Added to %s\n", database)
	}
	return errors.Join(failed...)
}

// installSystem adds the root to the system's authorities.
func installSystem(ctx context.Context, out io.Writer, name string, text []byte) error {
	update, err := exec.LookPath(updateSystem)
	if err != nil {
		return fmt.Errorf("the system's authorities: there is no %s here; 'sluice trust' prints how other systems do it", updateSystem)
	}
	file := filepath.Join(systemRoots, name+".crt")
	err = os.WriteFile(file, text, 0o644)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("the system's authorities: no permission to write %s; run this as root", file)
	}
	if err != nil {
		return fmt.Errorf("the system's authorities: %w", err)
	}
	if text, err := exec.CommandContext(ctx, update).CombinedOutput(); err != nil {
		return fmt.Errorf("the system's authorities: %s: %w: %s", updateSystem, err, bytes.TrimSpace(text))
	}
	fmt.Fprintf(out, "Added to the system's authorities as %s\n", file)
	return nil
}

// browserDatabases returns the NSS databases of the user that exist.
func browserDatabases() []string {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil
	}
	var found []string
	for _, pattern := range []string{".pki/nssdb", ".mozilla/firefox/*", "snap/firefox/common/.mozilla/firefox/*"} {
		files, _ := filepath.Glob(filepath.Join(home, pattern, "cert9.db")) // it fails only for a malformed pattern
		for _, file := range files {
			found = append(found, filepath.Dir(file))
		}
	}
	return found
}
