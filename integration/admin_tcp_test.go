//go:build unix

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/wstest"
)

// askAs asks a gateway over TCP with a token.
func askAs(t *testing.T, target wstest.Target, token, path string) int {
	t.Helper()
	r, _ := wstest.Ask(t, target, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "+token+"\r\nConnection: close\r\n\r\n")
	return r.StatusCode
}

func TestAdminOverTCPWithAMadeToken(t *testing.T) {
	g := operated(t, "admin: { address: '"+wstest.Reserve(t)+"' }\nroutes: [{ respond: {} }]")
	target := g.operators("tcp")
	tokenFile := g.wait("admin interface", func(r record) bool { return r.text("kind") == "tcp" }).text("token_file")
	info, err := os.Stat(tokenFile)
	if err != nil || info.Mode() != 0o600 || filepath.Dir(tokenFile) != os.Getenv("RUNTIME_DIRECTORY") {
		t.Fatalf("the file of the token: %v, %v", info, err)
	}
	token := strings.TrimSpace(read(t, tokenFile))
	if len(token) < 20 {
		t.Errorf("the token has %d characters", len(token))
	}
	for _, r := range g.log() {
		if strings.Contains(r.text("text"), token) {
			t.Errorf("the token is in the log: %s", r.text("text"))
		}
	}
	for text, want := range map[string]int{token: 200, token + "x": 401, token[1:]: 401} {
		if got := askAs(t, target, text, "/status"); got != want {
			t.Errorf("status %d, want %d", got, want)
		}
	}
	if output, code := sluice(t, "status", "--admin", target.Address, "--token-file", tokenFile); code != 0 || !strings.Contains(output, g.config) {
		t.Errorf("exit code %d: %s", code, output)
	}
	if output, code := sluice(t, "status", "--admin", target.Address); code != 1 || !strings.Contains(output, "--token-file") {
		t.Errorf("without a token: exit code %d: %s", code, output)
	}
	r := g.wait("requests to the admin interface refused", nil)
	if r.text("level") != "warn" || r.text("reason") != "no valid token" {
		t.Errorf("the record of refusals: %s", r.text("text"))
	}
	g.reload("configuration reloaded", "", "")
	if got := askAs(t, target, token, "/status"); got != 200 {
		t.Errorf("after a reload the made token gets %d", got)
	}
	g.end()
	if _, err := os.Stat(tokenFile); err == nil {
		t.Error("the token outlives the gateway")
	}
}

func TestAdminOverTCPWithAConfiguredToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	const first, second = "0123456789abcdef", "fedcba9876543210"
	write(t, file, first+"\n")
	ca := wstest.NewCA(t)
	cert, key := ca.Issue(t, "localhost", "127.0.0.1")
	address := wstest.Reserve(t)
	g := operated(t, fmt.Sprintf("admin: { address: %q, token_file: %q }\nroutes: [{ respond: {} }]", address, file))
	target := g.operators("tcp")
	if all, _ := filepath.Glob(filepath.Join(os.Getenv("RUNTIME_DIRECTORY"), "*.token")); len(all) != 0 {
		t.Errorf("a token was made: %q", all)
	}
	expectTokens := func(want map[string]int) {
		t.Helper()
		for token, status := range want {
			if got := askAs(t, target, token, "/status"); got != status {
				t.Errorf("token %s: status %d, want %d", token, got, status)
			}
		}
	}
	expectTokens(map[string]int{first: 200, second: 401})
	write(t, file, second+"\n")
	expectTokens(map[string]int{first: 200, second: 401})
	g.reload("configuration reloaded", "", "")
	expectTokens(map[string]int{first: 401, second: 200})
	for from, to := range map[string]string{
		fmt.Sprintf("token_file: %q", file): "token: short",
		fmt.Sprintf("address: %q", address): "address: '0.0.0.0:1'", // without TLS
	} {
		r := g.reload("configuration refused", from, to)
		if !strings.Contains(r.text("error"), "admin") {
			t.Errorf("%s: %q", to, r.text("error"))
		}
		g.reload("configuration reloaded", to, from)
	}
	expectTokens(map[string]int{first: 401, second: 200})

	g.reload("configuration reloaded", "admin: { ", fmt.Sprintf("admin: { tls: { cert: %q, key: %q }, ", cert, key))
	target.TLS = ca.Client("localhost")
	expectTokens(map[string]int{first: 401, second: 200})
	if output, code := sluice(t, "status", "--admin", "https://"+target.Address, "--token-file", file); code != 1 || !strings.Contains(output, "certificate") {
		t.Errorf("a certificate that this machine does not trust: exit code %d, %s", code, output)
	}
	t.Setenv("SSL_CERT_FILE", ca.File)
	if output, code := sluice(t, "status", "--admin", "https://"+target.Address, "--token-file", file); code != 0 {
		t.Errorf("a certificate that this machine trusts: exit code %d, %s", code, output)
	}
}

func TestListenersWithoutAToken(t *testing.T) {
	g := operated(t, "admin: { health: '"+wstest.Reserve(t)+"', metrics: '"+wstest.Reserve(t)+"' }\nroutes: [{ respond: {} }]")
	for _, tt := range []struct {
		kind, path string
		want       int
	}{
		{"health", "/healthz", 200}, {"health", "/readyz", 200}, {"health", "/status", 404}, {"health", "/metrics", 404}, {"health", "/sessions", 404},
		{"metrics", "/metrics", 200}, {"metrics", "/status", 404}, {"metrics", "/sessions", 404}, {"metrics", "/healthz", 404},
	} {
		r, body := wstest.Ask(t, g.operators(tt.kind), get(tt.path))
		if r.StatusCode != tt.want || tt.path == "/metrics" && tt.want == 200 && !strings.Contains(body, "sluice_build_info") {
			t.Errorf("%s of the listener for %s: %d %.300s, want %d", tt.path, tt.kind, r.StatusCode, body, tt.want)
		}
	}
}

// An address of the interface that is taken refuses the file, and leaves nothing behind.
func TestAnAdminAddressThatIsTaken(t *testing.T) {
	taken := wstest.NewBackend(t, wstest.Hanging)
	t.Setenv("RUNTIME_DIRECTORY", t.TempDir())
	f := file(t, "listeners: [127.0.0.1:0]\nadmin: { address: '"+taken.Address+"' }\nroutes: [{ respond: {} }]\n")
	output, code := sluice(t, "run", "--config", f)
	if code != 1 || !strings.Contains(output, f+":2:") || !strings.Contains(output, taken.Address) {
		t.Errorf("exit code %d: %s; want the line and the address", code, output)
	}
	if all, err := os.ReadDir(os.Getenv("RUNTIME_DIRECTORY")); err != nil || len(all) != 0 {
		t.Errorf("what is left: %v, %v", all, err)
	}
	g := operated(t, "routes: [{ respond: {} }]")
	r := g.reload("configuration refused", "routes:", "admin: { address: '"+taken.Address+"' }\nroutes:")
	if !strings.Contains(r.text("error"), taken.Address) {
		t.Errorf("reload: %q", r.text("error"))
	}
	g.operate(t, "status")
}
