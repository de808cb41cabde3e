package integration

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// An importedRequest is what both are asked, and whether sluice may answer 403 in place of what the other proxy answers.
type importedRequest struct {
	host, target string
	method       string // GET unless given
	refused      bool
}

// imported runs a configuration of another proxy and what sluice import makes of it, and compares the answers
// to requests. In the configuration ADDRESS stands for where it listens, ONE and TWO for backends, and FILES
// for a directory.
func imported(t *testing.T, name, config string, run func(t *testing.T, config string), requests []importedRequest) {
	t.Helper()
	files := t.TempDir()
	if err := os.Chmod(files, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(files, "index.html"), "index")
	write(t, filepath.Join(files, "app.js"), "script")
	address := unusedAddress(t)
	config = strings.NewReplacer("ADDRESS", address, "ONE", namedBackend(t, "one"), "TWO", namedBackend(t, "two"), "FILES", files).Replace(config)
	source := filepath.Join(t.TempDir(), name)
	write(t, source, config)
	ours := filepath.Join(t.TempDir(), "ours.yaml")
	if output, code := sluice(t, "import", source, "--output", ours); code == 1 {
		t.Fatalf("sluice import: %s", output)
	}
	if !strings.Contains(read(t, ours), address) {
		t.Fatalf("it listens elsewhere:\n%s", read(t, ours))
	}
	g := startFile(t, strings.Replace(read(t, ours), address, "127.0.0.1:0", 1)+fmt.Sprintf("log: { format: json }\nstate_dir: %q\n", t.TempDir()))
	run(t, config)
	for _, r := range requests {
		want, got := r.of(t, address), r.of(t, g.listener(false))
		switch {
		case r.refused && !strings.HasPrefix(got, "403"):
			t.Errorf("%s%s: sluice answers %q, want 403; %s answers %q", r.host, r.target, got, name, want)
		case !r.refused && got != want:
			t.Errorf("%s%s: sluice answers %q, %s %q", r.host, r.target, got, name, want)
		}
	}
	if t.Failed() {
		t.Logf("imported:\n%s", read(t, ours))
	}
}

// namedBackend starts a backend that tells its name and the path that it was asked for.
func namedBackend(t *testing.T, name string) (address string) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", name, r.RequestURI)
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func unusedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// of returns the status, where the answer leads, and the body if that is not the proxy's own page.
func (r importedRequest) of(t *testing.T, address string) string {
	t.Helper()
	method := r.method
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+r.target, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = r.host
	client := http.Client{Timeout: wstest.Guard, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer := fmt.Sprint(res.StatusCode)
	if to := res.Header.Get("Location"); to != "" {
		to = strings.TrimPrefix(to, "http://"+r.host)
		answer += " -> " + strings.TrimPrefix(to, ":"+address[strings.LastIndexByte(address, ':')+1:])
	}
	if res.StatusCode < 300 {
		answer += " " + string(body)
	}
	return answer
}

// foreignProxy runs another proxy until the test ends, and waits until it accepts connections.
func foreignProxy(t *testing.T, address, program string, args ...string) {
	t.Helper()
	cmd := command(t, program, args...)
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	eventually(t, program+" listens on "+address, func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
			return true
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended: %v\n%s", program, err, &output)
		default:
		}
		return false
	})
}

// installedByBench skips a test if a program that bench/install.sh installs is not there.
func installedByBench(t *testing.T, program string) string {
	t.Helper()
	foreign(t, program)
	if _, err := os.Stat(program); err != nil {
		t.Skipf("it needs %s, which bench/install.sh installs: %v", program, err)
	}
	return program
}

func runNginx(t *testing.T, config string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "run.conf")
	write(t, file, fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log stderr crit; events { }
http {
	access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	%[2]s
}`, dir, config))
	_, rest, _ := strings.Cut(config, "listen ")
	address, _, _ := strings.Cut(rest, ";")
	foreignProxy(t, strings.Fields(address)[0], installedByBench(t, "/usr/sbin/nginx"), "-p", dir, "-c", file, "-e", "stderr")
}

// What is imported from nginx answers as nginx does, or refuses.
func TestImportedFromNginxAnswersAsNginx(t *testing.T) {
	t.Parallel()
	installedByBench(t, "/usr/sbin/nginx")
	imported(t, "nginx.conf", `
map $http_upgrade $connection_upgrade { default upgrade; '' close; }
upstream two { server TWO; keepalive 8; }
server {
	listen ADDRESS default_server;
	server_name app.test www.app.test;
	location / { proxy_pass http://ONE; proxy_set_header Host $host; }
	location /ws/ { proxy_pass http://two; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; }
	location /api/ { proxy_pass http://two/v2/; }
	location /bare { proxy_pass http://two; }
	location = /exact { return 204; }
	location ^~ /strong/ { proxy_pass http://two; }
	location ~ \.php$ { proxy_pass http://two; }
	location ~* \.(bak|sql)$ { deny all; }
	location ~ ^/users/[^/]+/ws$ { proxy_pass http://two; }
	location ~ ^/user/[0-9]+$ { proxy_pass http://two; }
	location /admin/ { allow 127.0.0.1; deny all; proxy_pass http://two; }
	location /old { return 301 /new; }
	location /post/ { limit_except POST { deny all; } proxy_pass http://two; }
	location /nest/ {
		proxy_pass http://ONE;
		location /nest/deep/ { proxy_pass http://two; }
		location ^~ /nest/strong/ { proxy_pass http://two; }
		location ~ \.in$ { return 404; }
		location = /nest/one { return 204; }
	}
	location ^~ /firm/ { proxy_pass http://ONE; location /firm/deep/ { proxy_pass http://two; } }
	location /m/ { proxy_pass http://ONE; }
	location /m/@mark/ { deny all; }
	location /hidden/ { internal; return 200 "hidden"; }
	location /read/ { limit_except GET { deny all; } return 200 "read"; }
	location /raw/ { proxy_pass http://two$request_uri; }
}
server {
	listen ADDRESS;
	server_name named.test;
	root FILES;
	location / { try_files $uri @app; }
	location @app { allow 192.0.2.0/24; deny all; proxy_pass http://two; }
}
server { listen ADDRESS; server_name under_score.test; if ($http_x_key != "k") { return 403; } return 200 "open"; }
server {
	listen ADDRESS;
	server_name files.test;
	root FILES;
	location / { try_files $uri $uri/ /index.html; }
	location ~* \.(js|css)$ { expires 7d; }
	location ~ /\. { deny all; }
}
server { listen ADDRESS; server_name *.wild.test; location / { proxy_pass http://two; } }
server { listen ADDRESS; server_name moved.test; return 301 http://app.test$request_uri; }
`, runNginx, []importedRequest{
		{host: "app.test", target: "/"},
		{host: "www.app.test", target: "/a/b?c=d"},
		{host: "other.test", target: "/"},
		{host: "app.test", target: "/ws/room"},
		{host: "app.test", target: "/ws"},
		{host: "app.test", target: "/api/x/y?z=1"},
		{host: "app.test", target: "/bare"},
		{host: "app.test", target: "/bare/x"},
		{host: "app.test", target: "/exact"},
		{host: "app.test", target: "/exact/x"},
		{host: "app.test", target: "/x.php"},
		{host: "app.test", target: "/deep/er/x.php"},
		{host: "app.test", target: "/ws/x.php"},
		{host: "app.test", target: "/strong/x.php"},
		{host: "app.test", target: "/.php"},
		{host: "app.test", target: "/x.php/more"},
		{host: "app.test", target: "/a/dump.SqL"},
		{host: "app.test", target: "/strong/dump.sql"},
		{host: "app.test", target: "/users/me/ws"},
		{host: "app.test", target: "/users/me/ws/x"},
		{host: "app.test", target: "/users/me/you/ws"},
		{host: "app.test", target: "/user/12", refused: true},
		{host: "app.test", target: "/user/12/x", refused: true},
		{host: "app.test", target: "/admin/x", refused: true},
		{host: "app.test", target: "//admin/x", refused: true},
		{host: "app.test", target: "/old"},
		{host: "app.test", target: "/post/x"},
		{host: "app.test", target: "/post/x", method: "POST"},
		{host: "app.test", target: "/admin"},
		{host: "app.test", target: "/nest"},
		{host: "app.test", target: "/nest/x"},
		{host: "app.test", target: "/nest/x.in"},
		{host: "app.test", target: "/nest/x.php"},
		{host: "app.test", target: "/nest/one"},
		{host: "app.test", target: "/nest/deep"},
		{host: "app.test", target: "/nest/deep/x"},
		{host: "app.test", target: "/nest/deep/x.in"},
		{host: "app.test", target: "/nest/deep/x.php"},
		{host: "app.test", target: "/nest/strong/x.in"},
		{host: "app.test", target: "/nest/strong/x.php"},
		{host: "app.test", target: "/nest/strong/x.sql"},
		{host: "app.test", target: "/firm/x.php"},
		{host: "app.test", target: "/firm/deep/x.php"},
		{host: "app.test", target: "/firm/deep/x.sql"},
		{host: "app.test", target: "/m/x", refused: true},
		{host: "app.test", target: "/m/@mark/x"},
		{host: "app.test", target: "/m/%40mark/x"},
		{host: "app.test", target: "/hidden/x"},
		{host: "app.test", target: "/read/x"},
		{host: "app.test", target: "/read/x", method: "POST"},
		{host: "app.test", target: "/raw/x?y=z"},
		{host: "named.test", target: "/app.js", refused: true},
		{host: "named.test", target: "/x", refused: true},
		{host: "under_score.test", target: "/"},
		{host: "files.test", target: "/"},
		{host: "files.test", target: "/app.js"},
		{host: "files.test", target: "/some/page"},
		{host: "files.test", target: "/missing.css"},
		{host: "a.wild.test", target: "/x"},
		{host: "moved.test", target: "/x?y=z"},
	})
}

func runHAProxy(t *testing.T, config string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "run.cfg")
	write(t, file, config)
	_, rest, _ := strings.Cut(config, "bind ")
	foreignProxy(t, strings.Fields(rest)[0], installedByBench(t, "/usr/sbin/haproxy"), "-db", "-f", file)
}

// What is imported from HAProxy answers as HAProxy does, or refuses.
func TestImportedFromHAProxyAnswersAsHAProxy(t *testing.T) {
	t.Parallel()
	installedByBench(t, "/usr/sbin/haproxy")
	imported(t, "haproxy.cfg", `
defaults
	mode http
	timeout connect 5s
	timeout client 30s
	timeout server 30s
	option forwardfor

frontend web
	bind ADDRESS
	acl is_app    hdr(host) -i app.test www.app.test
	acl is_static path_end .css .js
	acl is_admin  path_beg /admin/
	acl office    src 192.0.2.0/24
	http-request allow if { path /admin/open }
	http-request deny if is_admin !office
	http-request deny deny_status 404 if { path_end -i .sql }
	http-request deny if { path_beg /post/ } !METH_POST
	http-request deny if METH_DELETE
	http-request deny if { path_beg -i /In/@side/ }
	http-request deny if { path_beg /x/ } !{ hdr(host) -i app.test www.app.test } || { path /never }
	http-request return status 200 content-type text/plain string "well" if { path /healthz }
	http-request redirect prefix http://app.test code 301 if { hdr(host) -i moved.test }
	redirect location /new code 302 if { path /old }
	use_backend two if is_app { path_beg /ws/ } || { path /exact }
	use_backend api if { path_beg /api/ }
	use_backend two if is_static !{ path_beg /deep/ }
	use_backend two if { hdr_end(host) -i .wild.test }
	use_backend two if { path_reg ^/(a|b)/c$ }
	use_backend two if { path_reg ^/user/[0-9]+$ }
	use_backend two if { url_param(v) 2 }
	default_backend one

backend one
	server s ONE

backend two
	balance leastconn
	server s TWO maxconn 100

backend api
	http-request replace-path /api/(.*) /v2/\1
	server s TWO
`, runHAProxy, []importedRequest{
		{host: "app.test", target: "/"},
		{host: "other.test", target: "/a?b=c"},
		{host: "www.app.test", target: "/ws/room"},
		{host: "other.test", target: "/ws/room"},
		{host: "app.test", target: "/ws"},
		{host: "other.test", target: "/exact"},
		{host: "app.test", target: "/api/x?y=z"},
		{host: "app.test", target: "/api"},
		{host: "app.test", target: "/x.css"},
		{host: "app.test", target: "/a/b/x.js"},
		{host: "app.test", target: "/.js"},
		{host: "app.test", target: "/deep/x.js"},
		{host: "app.test", target: "/api/x.js"},
		{host: "app.test", target: "/x.js/y"},
		{host: "app.test", target: "/admin/x"},
		{host: "app.test", target: "/admin/open"},
		{host: "app.test", target: "/dump.SQL"},
		{host: "app.test", target: "/ws/dump.sql"},
		{host: "app.test", target: "/post/x"},
		{host: "app.test", target: "/post/x", method: "POST"},
		{host: "app.test", target: "/x", method: "DELETE"},
		{host: "app.test", target: "/x", method: "HEAD"},
		{host: "app.test", target: "/in/@side/x"},
		{host: "app.test", target: "/IN/@side/x"},
		{host: "app.test", target: "/in/%40side/x", refused: true},
		{host: "other.test", target: "/x/y"},
		{host: "app.test", target: "/x/y"},
		{host: "app.test", target: "/never"},
		{host: "app.test", target: "/healthz"},
		{host: "moved.test", target: "/x?y=z"},
		{host: "moved.test", target: "/old"},
		{host: "app.test", target: "/old"},
		{host: "x.wild.test", target: "/"},
		{host: "wild.test", target: "/"},
		{host: "other.test", target: "/a/c"},
		{host: "other.test", target: "/a/c/d"},
		{host: "other.test", target: "/user/12", refused: true},
		{host: "other.test", target: "/v?v=2"},
		{host: "other.test", target: "/v?v=3"},
	})
}
