// Command release makes what users of sluice download: archives for every system, packages for Debian
// and for systems with RPM, an SBOM of each binary, and checksums. The same commit gives the same
// bytes. It runs in the root of the repository, for make release and make packages, and needs Go, git
// and the module proxy.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var r release
	var epoch int64
	var platforms, licenses string
	flag.StringVar(&r.version, "version", "", "`version`, as git describe --tags --always --dirty writes it")
	flag.Int64Var(&epoch, "epoch", 0, "time of all files, in `seconds` since 1970")
	flag.StringVar(&platforms, "platforms", "linux_amd64,linux_arm64,darwin_amd64,darwin_arm64,windows_amd64", "`systems` to make files for")
	flag.StringVar(&r.maintainer, "maintainer", "", "`name` and address in packages")
	flag.StringVar(&r.out, "out", "", "`directory` for the results; what is in it is removed")
	flag.BoolVar(&r.onlyPackages, "packages", false, "make packages and nothing else: of platforms with Linux")
	flag.StringVar(&licenses, "licenses", "", "write the licenses of what is in the binaries to this `file`, and make nothing else: for images")
	flag.Parse()
	r.time = time.Unix(epoch, 0).UTC()
	err := r.setPlatforms(platforms)
	switch {
	case err != nil:
	case licenses != "":
		err = r.writeLicenses(ctx, licenses)
	case flag.NArg() > 0 || epoch <= 0 || r.version == "" || r.out == "" || r.maintainer == "":
		err = errors.New("the flags -version, -epoch, -maintainer and -out are needed, and no arguments: use make release")
	default:
		err = r.run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// platform is a system that files are made for.
type platform struct{ system, arch string }

// String implements [fmt.Stringer]: linux_amd64.
func (p platform) String() string { return p.system + "_" + p.arch }

// binary returns the file name of the binary.
func (p platform) binary() string {
	if p.system == "windows" {
		return "sluice.exe"
	}
	return "sluice"
}

// release is what is made of one commit.
type release struct {
	source       string // directory of the repository; "" is the working directory
	version      string
	time         time.Time // of the commit, and so of every file
	maintainer   string
	platforms    []platform
	onlyPackages bool
	out          string

	pinned string // setting that has Go be the version of go.mod
	stage  string // temporary directory: shared/ for what is in all archives, packages/ for what they have compressed, linux_amd64/ and so on for binaries
}

func (r *release) setPlatforms(list string) error {
	for name := range strings.SplitSeq(list, ",") {
		system, arch, ok := strings.Cut(name, "_")
		if !ok {
			return fmt.Errorf("%q is no platform: write it as in linux_amd64", name)
		}
		r.platforms = append(r.platforms, platform{system, arch})
	}
	return nil
}

// run makes all files.
func (r *release) run(ctx context.Context) (err error) {
	if r.stage, err = os.MkdirTemp("", "sluice-release-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.stage)
	if err := os.RemoveAll(r.out); err != nil {
		return err
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	if r.pinned, err = r.toolchain(ctx); err != nil {
		return err
	}
	if own := "GOTOOLCHAIN=" + runtime.Version(); own != r.pinned { // it compresses the archives
		return fmt.Errorf("%s is not the Go of go.mod: run it with %s", runtime.Version(), r.pinned)
	}
	if err := r.stageShared(ctx); err != nil {
		return err
	}
	for _, p := range r.platforms {
		if err := r.build(ctx, p); err != nil {
			return err
		}
		if p.system == "linux" {
			if err := r.pack(ctx, p); err != nil {
				return err
			}
		}
		if r.onlyPackages {
			continue
		}
		if err := r.archive(p); err != nil {
			return err
		}
		if err := r.describe(ctx, p); err != nil {
			return err
		}
	}
	return r.sum()
}
