package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// stageShared makes the files that all platforms share.
func (r *release) stageShared(ctx context.Context) error {
	shared := filepath.Join(r.stage, "shared")
	if err := r.stageDocuments(shared); err != nil {
		return err
	}
	if _, err := r.goCommand(ctx, []string{r.pinned}, "run", "-trimpath", "-buildvcs=false", "-tags=manual", "./cmd/sluice", "manual", shared); err != nil {
		return err
	}
	licenses, err := r.licenses(ctx)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(shared, "LICENSES.txt"), licenses, 0o644); err != nil {
		return err
	}
	return r.stagePackages(shared)
}

// stageDocuments copies the documents, and what they link to, to where the repository has them.
func (r *release) stageDocuments(shared string) error {
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "Dockerfile", "config.example.yaml", "bench/README.md"} {
		if err := copyFile(filepath.Join(shared, name), filepath.Join(r.source, name)); err != nil {
			return err
		}
	}
	for _, name := range []string{"docs", "packaging/compose", "packaging/grafana", "packaging/prometheus", "packaging/systemd"} {
		if err := os.CopyFS(filepath.Join(shared, name), os.DirFS(filepath.Join(r.source, name))); err != nil {
			return err
		}
	}
	return nil
}

// stagePackages compresses what packages have compressed.
func (r *release) stagePackages(shared string) error {
	pages, err := fs.Glob(os.DirFS(shared), "man1/*.1")
	if err != nil {
		return err
	}
	for _, name := range append(pages, "CHANGELOG.md", "LICENSES.txt") {
		content, err := os.ReadFile(filepath.Join(shared, name))
		if err != nil {
			return err
		}
		if err := writeCompressed(filepath.Join(r.stage, "packages", name+".gz"), content); err != nil {
			return err
		}
	}
	version, err := packageVersion(r.version, r.time)
	if err != nil {
		return err
	}
	entry := fmt.Sprintf("sluice (%s-1) unstable; urgency=medium\n\n  * What has changed is in changelog.gz.\n\n -- %s  %s\n",
		version, r.maintainer, r.time.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	return writeCompressed(filepath.Join(r.stage, "packages", "changelog.Debian.gz"), []byte(entry))
}

// copyFile copies a file into a directory that it makes.
func copyFile(to, from string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o644)
}

// writeCompressed writes content with gzip, without a time or a name.
func writeCompressed(file string, content []byte) error {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	z.Write(content)
	if err := z.Close(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}
