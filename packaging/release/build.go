package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Tools that are run at these versions, with the Go of this module.
const (
	nfpm      = "github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2"
	cyclonedx = "github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0"
)

// goCommand runs go in the repository and returns what it printed. Settings are KEY=value. What the
// user has set for Go changes no byte of the result.
func (r *release) goCommand(ctx context.Context, settings []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = r.source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOAMD64=v1", "GOARM64=v8.0", "GOWORK=off", "TZ=UTC",
		"GOEXPERIMENT=", "GOFIPS140=off", "GOOS=", "GOARCH=",
		fmt.Sprintf("SOURCE_DATE_EPOCH=%d", r.time.Unix()))
	cmd.Env = append(cmd.Env, settings...)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s%s", strings.Join(args, " "), err, out.Bytes(), problems.Bytes())
	}
	return strings.TrimSpace(out.String()), nil
}

// toolchain returns the setting that has Go be the version of go.mod, neither older nor newer.
func (r *release) toolchain(ctx context.Context) (string, error) {
	version, err := r.goCommand(ctx, nil, "list", "-m", "-f", "{{.GoVersion}}")
	return "GOTOOLCHAIN=go" + version, err
}

// build makes the binary of a platform.
func (r *release) build(ctx context.Context, p platform) error {
	settings := []string{r.pinned, "GOOS=" + p.system, "GOARCH=" + p.arch}
	_, err := r.goCommand(ctx, settings, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -X main.version="+r.version, "-o", r.binary(p), "./cmd/sluice")
	return err
}

// binary returns where the binary of a platform is.
func (r *release) binary(p platform) string { return filepath.Join(r.stage, p.String(), p.binary()) }

// describe writes the SBOM of a binary.
func (r *release) describe(ctx context.Context, p platform) error {
	file, err := filepath.Abs(filepath.Join(r.out, r.name(p)+".cdx.json"))
	if err != nil {
		return err
	}
	_, err = r.goCommand(ctx, []string{r.pinned}, "run", cyclonedx, "bin", "-json", "-std", "-noserial", "-notimestamp", "-version", r.version, "-output", file, r.binary(p))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if text, err = withoutToolHashes(text); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, text, 0o644)
}

// withoutToolHashes returns an SBOM without the hashes of the program that has made it, whose bytes are
// those of this machine.
func withoutToolHashes(text []byte) ([]byte, error) {
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	metadata, _ := all["metadata"].(map[string]any)
	tools, _ := metadata["tools"].([]any)
	if len(tools) == 0 {
		return nil, errors.New("the SBOM does not say what has made it")
	}
	for _, tool := range tools {
		if tool, ok := tool.(map[string]any); ok {
			delete(tool, "hashes")
		}
	}
	return json.MarshalIndent(all, "", "  ")
}

// pack makes the packages of a platform.
func (r *release) pack(ctx context.Context, p platform) error {
	version, err := packageVersion(r.version, r.time)
	if err != nil {
		return err
	}
	out, err := filepath.Abs(r.out)
	if err != nil {
		return err
	}
	settings := []string{r.pinned, "STAGE=" + r.stage, "ARCH=" + p.arch, "VERSION=" + version, "MAINTAINER=" + r.maintainer, "BINARY=" + r.binary(p)}
	for _, kind := range []string{"deb", "rpm"} {
		if _, err := r.goCommand(ctx, settings, "run", nfpm, "package", "--config", "packaging/nfpm.yaml", "--packager", kind, "--target", out); err != nil {
			return err
		}
	}
	return nil
}
