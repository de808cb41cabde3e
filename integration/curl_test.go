package integration

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

func TestCurl(t *testing.T) {
	t.Parallel()
	need(t, "curl", "--version")
	b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, "%s %s %d %x", r.Method, r.Host, n, sum.Sum(nil))
	}))
	t.Cleanup(b.Close)
	g := start(t, fmt.Sprintf("routes: [{ path: /*, backend: %q }]", b.URL))
	upload := filepath.Join(t.TempDir(), "upload")
	content := strings.Repeat("0123456789abcdef", 5<<16)
	write(t, upload, content)
	_, plain, _ := net.SplitHostPort(g.http.Address)
	_, secure, _ := net.SplitHostPort(g.https.Address)
	resolve := []string{
		"--silent", "--show-error", "--fail", "--max-time", "60", "--cacert", g.ca,
		"--resolve", "gateway.test:" + plain + ":127.0.0.1", "--resolve", "gateway.test:" + secure + ":127.0.0.1",
		"--write-out", " %{http_version}",
	}
	urls := map[string]string{"http": "http://gateway.test:" + plain + "/", "https": "https://gateway.test:" + secure + "/"}
	stored := func(method, port string) string {
		return fmt.Sprintf("%s gateway.test:%s %d %x", method, port, len(content), sha256.Sum256([]byte(content)))
	}
	tests := []struct {
		name   string
		args   []string
		scheme string
		want   string
	}{
		{"HTTP/1.0", []string{"--http1.0"}, "http", "GET gateway.test:" + plain},
		{"HTTP/1.1", nil, "http", " 1.1"},
		{"HTTP/1.1 over TLS", []string{"--http1.1"}, "https", " 1.1"},
		{"HTTP/2", nil, "https", " 2"},
		{"TLS 1.2", []string{"--tls-max", "1.2"}, "https", " 2"},
		{"an upload that waits for 100", []string{"--http1.1", "--header", "Expect: 100-continue", "--data-binary", "@" + upload}, "http", stored("POST", plain) + " 1.1"},
		{"an upload in chunks", []string{"--http1.1", "--header", "Transfer-Encoding: chunked", "--upload-file", upload}, "https", stored("PUT", secure) + " 1.1"},
		{"an upload over HTTP/2", []string{"--upload-file", upload}, "https", stored("PUT", secure) + " 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if out := tool(t, "curl", append(append(resolve, tt.args...), urls[tt.scheme])...); !strings.Contains(out, tt.want) {
				t.Errorf("curl printed %q, want %q in it", out, tt.want)
			}
		})
	}
}
