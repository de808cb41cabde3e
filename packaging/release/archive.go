package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// file is one of an archive.
type file struct {
	name       string // with slashes
	content    []byte
	executable bool
}

func (f *file) mode() fs.FileMode {
	if f.executable {
		return 0o755
	}
	return 0o644
}

// name returns the name of the files of a platform: sluice_1.2.0_linux_amd64.
func (r *release) name(p platform) string {
	return "sluice_" + strings.TrimPrefix(r.version, "v") + "_" + p.String()
}

// archive writes the archive of a platform.
func (r *release) archive(p platform) error {
	files, err := r.files(p)
	if err != nil {
		return err
	}
	write, end := tarball, ".tar.gz"
	if p.system == "windows" {
		write, end = zipped, ".zip"
	}
	content, err := write(r.name(p), files, r.time)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, r.name(p)+end), content, 0o644)
}

// files returns the files of the archive of a platform.
func (r *release) files(p platform) (all []file, err error) {
	binary, err := os.ReadFile(r.binary(p))
	if err != nil {
		return nil, err
	}
	all = append(all, file{name: p.binary(), content: binary, executable: true})
	shared := os.DirFS(filepath.Join(r.stage, "shared"))
	err = fs.WalkDir(shared, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := fs.ReadFile(shared, name)
		all = append(all, file{name: name, content: content})
		return err
	})
	return all, err
}

// tarball returns files below a directory as a compressed tar. Their time is t.
func tarball(dir string, files []file, t time.Time) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(z)
	for i := range files {
		f := &files[i]
		h := &tar.Header{Name: path.Join(dir, f.name), Size: int64(len(f.content)), Mode: int64(f.mode()), ModTime: t, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// zipped returns the same as a zip archive.
func zipped(dir string, files []file, t time.Time) ([]byte, error) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := range files {
		f := &files[i]
		h := &zip.FileHeader{Name: path.Join(dir, f.name), Method: zip.Deflate, Modified: t}
		h.SetMode(f.mode())
		to, err := w.CreateHeader(h)
		if err == nil {
			_, err = to.Write(f.content)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// sum writes SHA256SUMS, for sha256sum -c.
func (r *release) sum() error {
	entries, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	var sums strings.Builder
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(r.out, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(content), e.Name())
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), []byte(sums.String()), 0o644)
}
