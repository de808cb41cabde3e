// Package answer makes the answers that need no backend: files, redirects, fixed responses, error
// pages and CORS preflights. It knows neither routes nor configuration: the caller passes in what the
// route found in a request.
package answer

import (
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sluice/internal/httpsyntax"
	"sluice/internal/message"
)

// Files serves the regular files of a directory tree. It serves no name that starts with a dot,
// except the directory ".well-known" at the top (RFC 8615), and nothing outside the tree, wherever
// links lead.
type Files struct {
	Pages  *Pages // for errors; may be nil
	Browse bool   // list the files of a directory that has no index

	root     *os.Root
	index    string
	fallback string
	slots    chan struct{} // [listingSlots] of the pages that are made at once
}

// NewFiles opens the directory root. Index is the name of the file that is served for a directory;
// fallback, a path below root, is the file that is served where there is no other. "" turns either
// off. The caller closes the result.
func NewFiles(root, index, fallback string) (*Files, error) {
	for _, name := range []string{index, fallback} {
		if name != "" && (!fs.ValidPath(name) || hidden(name)) {
			return nil, fmt.Errorf("files %s: %q is not the name of a visible file below it", root, name)
		}
	}
	dir, err := os.OpenRoot(root)
	if err != nil {
		return nil, fmt.Errorf("files %s: %w", root, cause(err))
	}
	return &Files{root: dir, index: index, fallback: fallback, slots: make(chan struct{}, listingSlots())}, nil
}

// cause returns err without the name of the file, which the message around it has.
func cause(err error) error {
	if wrong, ok := errors.AsType[*fs.PathError](err); ok {
		return wrong.Err
	}
	return err
}

// Close releases the directory. Requests that are running finish; later ones get 503.
func (f *Files) Close() error { return f.root.Close() }

// Serve answers r, whose request id is id, with the file at name: an escaped path without dot
// segments, which a rewrite may have changed; r.Path is the path that the client sees. It answers GET
// and HEAD only, with ranges and conditions as [http.ServeContent] does. For a directory it serves
// the index, after a redirect that adds a final slash. A file that may not be read gets the answer of
// one that is not there.
func (f *Files) Serve(w http.ResponseWriter, r *message.Request, id, name string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		f.Pages.Error(w, r, http.StatusMethodNotAllowed, id, "Files can only be read.")
		return
	}
	file, err := f.lookup(name)
	if errors.Is(err, errNeedsSlash) {
		if addSlash(w, r) {
			return
		}
		name += "/" // the route cut it off
		file, err = f.lookup(name)
	}
	if f.Browse && strings.HasSuffix(name, "/") && noIndex(err) {
		switch failed := f.list(w, r, name); {
		case failed == nil:
			return
		case unavailable(failed):
			err = failed
		}
	}
	if err != nil && f.fallback != "" && !errors.Is(err, errHidden) && !errors.Is(err, errNotKnown) && !unavailable(err) {
		file, err = f.open(f.fallback)
	}
	switch {
	case err == nil:
		defer file.Close()
		send(w, r, file)
	case unavailable(err):
		w.Header().Set("Retry-After", "5")
		f.Pages.Error(w, r, http.StatusServiceUnavailable, id, "The file cannot be read at the moment.")
	default:
		f.Pages.Error(w, r, http.StatusNotFound, id, "There is no such file.")
	}
}

// addSlash redirects r to its path with a final slash, unless it has one. It reports whether it has.
func addSlash(w http.ResponseWriter, r *message.Request) bool {
	if strings.HasSuffix(r.Path, "/") {
		return false
	}
	redirect(w, http.StatusMovedPermanently, withQuery(local(httpsyntax.Escape(r.Path, inPath))+"/", r.RawQuery))
	return true
}

var (
	errNeedsSlash = errors.New("a directory, named without a slash at its end")
	errHidden     = errors.New("a name that starts with a dot")
	errNotKnown   = errors.New("not below .well-known")
	errNotFile    = errors.New("not a regular file")
)

// noIndex reports whether err is that of a directory in which no index is, even one that may not be read.
func noIndex(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotFile) }

// unavailable reports whether err is a failure of the machine, not of the file.
func unavailable(err error) bool {
	for _, cause := range []error{errBusy, fs.ErrClosed, syscall.EMFILE, syscall.ENFILE, syscall.EIO, syscall.ENOMEM} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// lookup opens the file for an escaped path. For one below ".well-known" that is not there it returns
// errNotKnown: programs ask there, and would take the fallback, a page, for an answer.
func (f *Files) lookup(escaped string) (*regular, error) {
	name, directory, err := decode(escaped)
	if err != nil {
		return nil, err
	}
	file, err := f.find(name, directory)
	if first, _, _ := strings.Cut(name, "/"); first == wellKnown && err != nil && !errors.Is(err, errNeedsSlash) && !unavailable(err) {
		err = errNotKnown
	}
	return file, err
}

// find opens the file with a name, or the index of the directory with that name.
func (f *Files) find(name string, directory bool) (*regular, error) {
	if !directory {
		return f.open(name)
	}
	if f.index == "" {
		return nil, errNotFile
	}
	file, err := f.open(path.Join(name, f.index))
	if errors.Is(err, errNeedsSlash) {
		err = errNotFile
	}
	return file, err
}

// decode returns the slash-separated name, relative to the root, of an escaped path, and whether the
// path ends in a slash. A segment that stands for a slash or a NUL, or on Windows for anything that
// is special there, names no file.
func decode(escaped string) (name string, directory bool, err error) {
	escaped, directory = strings.CutSuffix(strings.TrimPrefix(escaped, "/"), "/")
	if escaped == "" {
		return ".", true, nil
	}
	segments := strings.Split(escaped, "/")
	for i, segment := range segments {
		if segments[i], err = url.PathUnescape(segment); err != nil {
			return "", false, err
		}
		if strings.Contains(segments[i], "/") {
			return "", false, fs.ErrNotExist
		}
	}
	name = strings.Join(segments, "/")
	if hidden(name) {
		return "", false, errHidden
	}
	if _, err := filepath.Localize(name); err != nil {
		return "", false, fs.ErrNotExist
	}
	return name, directory, nil
}

// wellKnown is the directory at the top that is served although it starts with a dot.
const wellKnown = ".well-known"

// hidden reports whether a segment of name starts with a dot and is not wellKnown at the top.
func hidden(name string) bool {
	if first, rest, _ := strings.Cut(name, "/"); first == wellKnown {
		name = "/" + rest
	}
	return name[0] == '.' || strings.Contains(name, "/.")
}

// regular is an open regular file.
type regular struct {
	*os.File
	info fs.FileInfo
	name string // as the request has it: its extension decides the type
}

// open opens the regular file at name below the root.
func (f *Files) open(name string) (*regular, error) {
	target, found, err := follow(f.root, name)
	if err != nil {
		return nil, err
	}
	switch {
	case found.IsDir():
		return nil, errNeedsSlash
	case !found.Mode().IsRegular(): // opening a device can have effects, opening a fifo blocks
		return nil, errNotFile
	}
	file, err := f.root.OpenFile(filepath.FromSlash(target), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, err
	}
	if !os.SameFile(info, found) { // it was replaced meanwhile, perhaps by something that is no file
		file.Close()
		return nil, fs.ErrNotExist
	}
	return &regular{File: file, info: info, name: name}, nil
}

// settled is how long after its last change a file counts as unchanging: no file system has coarser
// times than the 2 seconds of FAT.
const settled = 2 * time.Second

// etag makes an entity tag from size and modification time (RFC 9110, section 8.8.3). Once the file
// is unchanging the tag is strong, so that ranges can be resumed: any later change shows in the
// time. Before that, a second change within one clock tick would not show, so the tag is weak and
// has another text, and the client asks again.
func etag(info fs.FileInfo, now time.Time) string {
	tag := fmt.Sprintf("%x-%x", info.ModTime().UnixNano(), info.Size())
	if now.Sub(info.ModTime()) < settled {
		return `W/"` + tag + `-new"`
	}
	return `"` + tag + `"`
}

// send writes file as the answer to r.
func send(w http.ResponseWriter, r *message.Request, file *regular) {
	h := w.Header()
	h.Set("ETag", etag(file.info, time.Now()))
	h.Set("Content-Type", contentType(file.name))
	http.ServeContent(w, r.HTTP(), "", file.info.ModTime(), file)
}

// contentType returns the type for the extension of a name. It does not guess from the content, which
// would make a page out of any text that somebody can put into the tree.
func contentType(name string) string {
	extension := path.Ext(name)
	if kind := mime.TypeByExtension(extension); kind != "" {
		return kind
	}
	switch strings.ToLower(extension) { // common on the web, not built into package mime
	case ".woff", ".woff2", ".ttf", ".otf":
		return "font/" + strings.ToLower(extension[1:])
	case ".webmanifest":
		return "application/manifest+json"
	case ".map":
		return "application/json"
	case ".md":
		return "text/markdown; charset=utf-8"
	}
	return "application/octet-stream"
}
