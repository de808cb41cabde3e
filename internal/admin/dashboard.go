package admin

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"time"
)

// dashboardFiles are the page and its files. There is no build step: browsers get them as they are.
//
//go:embed dashboard
var dashboardFiles embed.FS

// dashboardPolicy lets the page load its own files and ask this interface, and nothing else: what
// it shows comes from clients and backends.
const dashboardPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// dashboardType returns the media type of a file of the dashboard, or "" for what it does not serve.
// It does not ask the system, whose table may be any.
func dashboardType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return ""
}

// serveDashboard serves a file of the dashboard.
func (c *call) serveDashboard(name string) error {
	text, err := fs.ReadFile(dashboardFiles, "dashboard/"+name)
	if err != nil || dashboardType(name) == "" {
		return &failure{http.StatusNotFound, "the dashboard has no file " + shorten(name) + ": use /dashboard"}
	}
	sum := sha256.Sum256(text)
	h := c.w.Header()
	h.Set("Cache-Control", "no-cache") // the ETag says whether it is still the same
	h.Set("Content-Security-Policy", dashboardPolicy)
	h.Set("Content-Type", dashboardType(name))
	h.Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Frame-Options", "DENY")
	http.ServeContent(c.w, c.r, name, time.Time{}, bytes.NewReader(text))
	return nil
}

func (s *Server) history(*call) (any, error) {
	h := s.gateway.History()
	h.Points = list(h.Points)
	return h, nil
}
