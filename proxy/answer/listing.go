package answer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/message"
)

const (
	// maxListed is the most entries of a directory that a page lists.
	maxListed = 1000

	// listingWait is how long a request waits for one of [listingSlots].
	listingWait = time.Second
)

// listingSlots returns how many pages of a tree are made at once: a short request makes a long page.
// They use half of the processors at most.
func listingSlots() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// errBusy is returned where no slot was free in time.
var errBusy = errors.New("too many directories are being listed")

// listing is the page of a directory.
type listing struct {
	Path string        // as the client asked for it, without escapes
	Up   bool          // the page of the directory above is one level up for the client too
	Rows template.HTML // one for each entry
	More bool          // there are more than [maxListed]
}

var listingPage = template.Must(template.New("listing").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<title>Files in {{.Path}}</title>
<style>body{font-family:system-ui,sans-serif;margin:2rem}table{border-collapse:collapse}th{text-align:left}th,td{padding:.2rem 2rem .2rem 0}.n{text-align:right}</style>
<main>
<h1>Files in {{.Path}}</h1>
{{if .Up}}<p><a href="../">One level up</a></p>
{{end}}{{if .Rows}}<table>
<thead><tr><th scope="col">Name</th><th scope="col" class="n">Size</th><th scope="col">Changed (UTC)</th></tr></thead>
<tbody>
{{.Rows}}</tbody>
</table>
{{else}}<p>There are no files here.</p>
{{end}}{{if .More}}<p>There are more: only some are listed.</p>
{{end}}</main>
</html>
`))

// listingPolicy lets the page have its style, and nothing else.
const listingPolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"

// list answers r with the page of the directory at an escaped path, or with a redirect that adds a
// final slash to the path of the client, as the links of the page start there. Its entries are those
// that Serve serves, but for ".well-known". If it fails nothing is written.
func (f *Files) list(w http.ResponseWriter, r *message.Request, escaped string) error {
	name, directory, err := decode(escaped)
	if err != nil {
		return err
	}
	if !directory {
		return errNotFile
	}
	dir, err := f.openDirectory(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	if addSlash(w, r) {
		return nil
	}
	var page []byte
	if r.Method != http.MethodHead {
		if page, err = f.page(r, dir, name); err != nil {
			return err
		}
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", listingPolicy)
	h.Set("Cache-Control", "no-cache")
	if page != nil { // for HEAD it would have to be made first (RFC 9110, section 9.3.2)
		h.Set("Content-Length", strconv.Itoa(len(page)))
	}
	w.WriteHeader(http.StatusOK)
	w.Write(page)
	return nil
}

// openDirectory opens the directory with a name. The caller closes it.
func (f *Files) openDirectory(name string) (*os.Root, error) {
	target, found, err := follow(f.root, name)
	if err != nil {
		return nil, err
	}
	if !found.IsDir() {
		return nil, errNotFile
	}
	dir, err := f.root.OpenRoot(filepath.FromSlash(target))
	if err != nil {
		return nil, err
	}
	info, err := dir.Stat(".")
	if err == nil && !os.SameFile(info, found) { // it was replaced meanwhile, perhaps by a link to what is hidden
		err = fs.ErrNotExist
	}
	if err != nil {
		dir.Close()
		return nil, err
	}
	return dir, nil
}

// page returns the page for r of the directory with a name. It waits for a slot, for [listingWait] at
// most, and returns errBusy if it gets none.
func (f *Files) page(r *message.Request, dir *os.Root, name string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(r.Context(), listingWait)
	defer cancel()
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-ctx.Done():
		return nil, errBusy
	}
	entries, more, err := f.entries(dir, name)
	if err != nil {
		return nil, err
	}
	public, err := url.PathUnescape(r.Path)
	if err != nil {
		public = r.Path
	}
	// A route may serve the directory under another name: what is above it is not above the page then.
	up := name != "." && path.Base(name) == path.Base(public)
	var page bytes.Buffer
	err = listingPage.Execute(&page, listing{public, up, rows(entries), more})
	return page.Bytes(), err
}

// entry is a file or a directory that is listed.
type entry struct {
	name string
	fs.FileInfo
}

// entries returns what the directory with a name has, directories first.
func (f *Files) entries(dir *os.Root, name string) (all []entry, more bool, err error) {
	names, more, err := readNames(dir)
	if err != nil {
		return nil, false, err
	}
	for _, base := range names {
		if _, err := filepath.Localize(base); err != nil || base[0] == '.' {
			continue // what decode refuses
		}
		info, err := dir.Lstat(base)
		if err == nil && info.Mode()&fs.ModeSymlink != 0 {
			_, info, err = follow(f.root, path.Join(name, base)) // as a request for it would
		}
		if unavailable(err) {
			return nil, false, err
		}
		if err != nil || !info.IsDir() && !info.Mode().IsRegular() {
			continue // gone by now, a link that leads out, or what is never served
		}
		all = append(all, entry{base, info})
	}
	slices.SortFunc(all, func(a, b entry) int {
		if a.IsDir() != b.IsDir() {
			if a.IsDir() {
				return -1
			}
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
	return all, more, nil
}

// readNames reads the names in a directory, [maxListed] at most, and reports whether there are more.
func readNames(dir *os.Root) (names []string, more bool, err error) {
	file, err := dir.Open(".")
	if err != nil {
		return nil, false, err
	}
	defer file.Close()
	names, err = file.Readdirnames(maxListed + 1)
	if err != nil && err != io.EOF {
		return nil, false, err
	}
	if len(names) > maxListed {
		return names[:maxListed], true, nil
	}
	return names, false, nil
}

// rows returns the rows of a table. A template would need several times as long for them.
func rows(all []entry) template.HTML {
	var b strings.Builder
	for _, e := range all {
		name, size := e.name, ""
		link := "./" + url.PathEscape(name)
		if e.IsDir() {
			name, link = name+"/", link+"/"
		} else {
			size = sizeText(e.Size())
		}
		changed := e.ModTime().UTC()
		fmt.Fprintf(&b, `<tr><td><a href="%s">%s</a></td><td class="n">%s</td><td><time datetime="%s">%s</time></td></tr>`+"\n",
			html.EscapeString(link), html.EscapeString(name), size, changed.Format(time.RFC3339), changed.Format("2006-01-02 15:04"))
	}
	return template.HTML(b.String())
}

// sizeText writes a number of bytes for people.
func sizeText(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, units := float64(n)/unit, "KMGTPE"
	for value >= unit && len(units) > 1 {
		value, units = value/unit, units[1:]
	}
	return fmt.Sprintf("%.1f %ciB", value, units[0])
}
