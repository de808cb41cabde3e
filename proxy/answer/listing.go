package answer

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/message"
)

// maxListed is the most entries of a directory that a page lists.
const maxListed = 5000

// listing is the page of a directory.
type listing struct {
	Path    string // as the client asked for it, without escapes
	Below   bool   // it is not the top
	Entries []listed
	More    bool // there are more than [maxListed]
}

// listed is an entry of a directory.
type listed struct {
	Name     string // of a directory with a slash
	Link     string // to it, from the page
	Size     string
	Machine  string // when it was changed, for programs
	Changed  string // and for people, in UTC
	isFolder bool
}

var listingPage = template.Must(template.New("listing").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<title>Files in {{.Path}}</title>
<style>body{font-family:system-ui,sans-serif;margin:2rem}table{border-collapse:collapse}th{text-align:left}th,td{padding:.2rem 2rem .2rem 0}.n{text-align:right}</style>
<main>
<h1>Files in {{.Path}}</h1>
{{if .Below}}<p><a href="../">One level up</a></p>
{{end}}{{if .Entries}}<table>
<thead><tr><th scope="col">Name</th><th scope="col" class="n">Size</th><th scope="col">Changed (UTC)</th></tr></thead>
<tbody>
{{range .Entries}}<tr><td><a href="{{.Link}}">{{.Name}}</a></td><td class="n">{{.Size}}</td><td><time datetime="{{.Machine}}">{{.Changed}}</time></td></tr>
{{end}}</tbody>
</table>
{{else}}<p>There are no files here.</p>
{{end}}{{if .More}}<p>There are more: only some are listed.</p>
{{end}}</main>
</html>
`))

// listingPolicy lets the page have its style, and nothing else.
const listingPolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"

// list answers r with the page of the directory at an escaped path. Its entries are those that Serve
// serves, but for ".well-known". If it fails nothing is written.
func (f *Files) list(w http.ResponseWriter, r *message.Request, escaped string) error {
	name, directory, err := decode(escaped)
	if err != nil {
		return err
	}
	if !directory {
		return errNotFile
	}
	entries, more, err := f.entries(name)
	if err != nil {
		return err
	}
	public, err := url.PathUnescape(r.Path)
	if err != nil {
		public = r.Path
	}
	var page bytes.Buffer
	if err := listingPage.Execute(&page, listing{public, name != ".", entries, more}); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", listingPolicy)
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Length", strconv.Itoa(page.Len()))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		w.Write(page.Bytes())
	}
	return nil
}

// entries returns what a directory has, directories first.
func (f *Files) entries(name string) (all []listed, more bool, err error) {
	target, found, err := follow(f.root, name)
	if err != nil {
		return nil, false, err
	}
	if !found.IsDir() {
		return nil, false, errNotFile
	}
	dir, err := f.root.Open(filepath.FromSlash(target))
	if err != nil {
		return nil, false, err
	}
	defer dir.Close()
	names, err := readNames(dir)
	if err != nil {
		return nil, false, err
	}
	if more = len(names) > maxListed; more {
		names = names[:maxListed]
	}
	for _, entry := range names {
		if _, err := filepath.Localize(entry); err != nil || entry[0] == '.' {
			continue // what decode refuses
		}
		_, info, err := follow(f.root, path.Join(name, entry))
		if err != nil || !info.IsDir() && !info.Mode().IsRegular() {
			continue // gone by now, a link that leads out, or what is never served
		}
		all = append(all, newListed(entry, info))
	}
	slices.SortFunc(all, func(a, b listed) int {
		if a.isFolder != b.isFolder {
			if a.isFolder {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all, more, nil
}

// readNames reads the names of a directory, one more than [maxListed] at most.
func readNames(dir *os.File) ([]string, error) {
	names, err := dir.Readdirnames(maxListed + 1)
	if err == io.EOF {
		err = nil
	}
	return names, err
}

func newListed(name string, info fs.FileInfo) listed {
	changed := info.ModTime().UTC()
	e := listed{
		Name: name, Link: "./" + url.PathEscape(name), Size: sizeText(info.Size()), isFolder: info.IsDir(),
		Machine: changed.Format(time.RFC3339), Changed: changed.Format("2006-01-02 15:04"),
	}
	if e.isFolder {
		e.Name, e.Link, e.Size = e.Name+"/", e.Link+"/", ""
	}
	return e
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
