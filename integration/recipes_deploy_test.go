//go:build unix

package integration

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"sluice/internal/wstest"
)

// replicas are two endpoints of an application with one name.
type replicas struct {
	table map[string]string // what stands for the name of a page and for its max_ttl
	names []string          // of the endpoints in the log
	dns   *wstest.DNS
}

// replicate starts two endpoints for a name of a page, whose max_ttl is ttl.
func replicate(t *testing.T, name, ttl string) replicas {
	t.Helper()
	first := startEndpoint(t, "127.0.0.1:0", "")
	second := startEndpoint(t, "127.0.0.2:"+port(first.address), "")
	r := replicas{dns: wstest.NewDNS(t)}
	r.dns.Set("app.test", wstest.Record{IP: netip.MustParseAddr("127.0.0.1")}, wstest.Record{IP: netip.MustParseAddr("127.0.0.2")})
	own := "app.test:" + port(first.address)
	r.table = map[string]string{name: own, ttl: "50ms, min_ttl: 20ms, server: " + strconv.Quote(r.dns.Address)}
	for _, e := range []*endpoint{first, second} {
		r.names = append(r.names, own+" ("+e.address+")")
	}
	return r
}

// spread opens sessions until both endpoints have one.
func (r replicas) spread(t *testing.T, s recipeGateway, host string) (clients []wstest.Peer) {
	t.Helper()
	at := make(map[string]bool)
	guard := time.Now().Add(wstest.Guard)
	for !at[r.names[0]] || !at[r.names[1]] {
		before := len(s.log())
		clients = append(clients, s.echoes(t, host, "/"))
		at[s.waitFrom(before, "session opened", nil).text("endpoint")] = true
		if time.Now().After(guard) {
			t.Fatalf("sessions came to %v, want %q", at, r.names)
		}
	}
	return clients
}

// goes waits until new sessions go to one endpoint alone, of which three in a row are the sign.
func (r replicas) goes(t *testing.T, s recipeGateway, host, name string) {
	t.Helper()
	guard := time.Now().Add(wstest.Guard)
	for row := 0; row < 3; row++ {
		before := len(s.log())
		s.echoes(t, host, "/").Close()
		if s.waitFrom(before, "session opened", nil).text("endpoint") != name {
			row = -1
		}
		if time.Now().After(guard) {
			t.Fatalf("new sessions do not go to %s", name)
		}
	}
}

// seconds is a duration of a file of Docker, systemd or Kubernetes.
func seconds(t *testing.T, text string) time.Duration {
	t.Helper()
	if n, err := strconv.Atoi(text); err == nil {
		return time.Duration(n) * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// stopTime is the shutdown_timeout of a page.
func stopTime(t *testing.T, config string) time.Duration {
	t.Helper()
	var c struct {
		Timeout  string `yaml:"shutdown_timeout"`
		Shutdown struct{ Delay, Timeout string }
	}
	if err := yaml.Unmarshal([]byte(config), &c); err != nil {
		t.Fatal(err)
	}
	return seconds(t, cmp.Or(c.Timeout, c.Shutdown.Timeout, "30s")) + seconds(t, cmp.Or(c.Shutdown.Delay, "0s"))
}

// Each container of a service is an endpoint. One that is gone gets nothing new, and one that is
// drained loses its sessions.
func TestRecipeCompose(t *testing.T) {
	t.Parallel()
	r := replicate(t, "app:8000", "5s")
	s := serve(t, "compose", r.table)
	const host = "app.example.com"
	clients := r.spread(t, s, host)
	r.dns.Set("app.test", wstest.Record{IP: netip.MustParseAddr("127.0.0.2")})
	r.goes(t, s, host, r.names[1])
	for _, p := range clients { // those of the container that is gone from the name too
		p.Send(wstest.Text("still here"))
		p.Expect(wstest.Text("still here"))
	}

	page := readRecipe(t, "compose")
	var file struct {
		Services map[string]struct {
			Volumes []string
			Grace   string `yaml:"stop_grace_period"`
		}
		Volumes map[string]any
	}
	if err := yaml.Unmarshal([]byte(page.blocks["yaml"][1]), &file); err != nil {
		t.Fatal(err)
	}
	gateway, app := file.Services["gateway"], file.Services["app"]
	if grace := seconds(t, gateway.Grace); grace < stopTime(t, page.config)+10*time.Second || seconds(t, app.Grace) == 0 {
		t.Errorf("stop_grace_period is %v, and shutdown_timeout %v", grace, stopTime(t, page.config))
	}
	if want := []string{"./conf:/etc/sluice:ro", "state:/var/lib/sluice"}; !slices.Equal(gateway.Volumes, want) {
		t.Errorf("volumes %q, want %q", gateway.Volumes, want)
	}
	if _, ok := file.Volumes["state"]; !ok {
		t.Error("the volume state is not declared")
	}
}

// An application on a Unix socket, operators of a group, and metrics.
func TestRecipeSystemd(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "chat.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	chat := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			echoMessages(w, r)
		}
	})}
	go func() { _ = chat.Serve(l) }()
	t.Cleanup(func() { chat.Close() })
	s := serve(t, "systemd", map[string]string{
		"unix:/run/chat/chat.sock": "unix:" + socket, "ops": strconv.Itoa(os.Getgid()), "127.0.0.1:9903": "127.0.0.1:0",
	})
	s.echoes(t, "chat.example.com", "/room")
	admin := s.wait("admin interface", func(r record) bool { return r.text("kind") == "unix" }).text("address")
	if info, err := os.Stat(admin); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket of operators: %v, %v; want mode 0660", info, err)
	}
	if _, body := wstest.Ask(t, s.operators("metrics"), get("/metrics")); !strings.Contains(body, `sluice_endpoint_sessions{backend="chat"`) {
		t.Errorf("the metrics do not count the sessions of chat:\n%s", body)
	}
	page := readRecipe(t, "systemd")
	m := regexp.MustCompile(`(?m)^TimeoutStopSec=(\w+)$`).FindStringSubmatch(page.blocks["ini"][0])
	if m == nil || seconds(t, m[1]) < stopTime(t, page.config)+10*time.Second {
		t.Errorf("TimeoutStopSec is %q, and shutdown_timeout %v", m, stopTime(t, page.config))
	}
}

// Pods are endpoints. A gateway that is to go ends its sessions by command, at the pace of the command,
// or at SIGTERM. The Deployment gives it the time for that.
func TestRecipeKubernetes(t *testing.T) {
	t.Parallel()
	r := replicate(t, "chat-pods.default.svc.cluster.local:9000", "5s")
	ca := wstest.NewCA(t)
	cert, key := ca.Issue(t, "chat.example.com")
	for from, to := range map[string]string{":8443": "127.0.0.1:0", ":9902": "127.0.0.1:0", "/tls/tls.crt": cert, "/tls/tls.key": key, "45s": "1s"} {
		r.table[from] = to
	}
	s := serve(t, "kubernetes", r.table)
	s.roots = poolOf(t, ca.File)
	const host = "chat.example.com"
	for _, path := range []string{"/readyz", "/healthz"} {
		if answer, _ := wstest.Ask(t, s.operators("health"), get(path)); answer.StatusCode != 200 {
			t.Errorf("%s: status %d, want 200", path, answer.StatusCode)
		}
	}
	clients := r.spread(t, s, host)
	if output := s.operate(t, "kill", "--all", "--code", "1012", "--spread", "1s"); !strings.Contains(output, strconv.Itoa(len(clients))) {
		t.Errorf("kill said %q of %d sessions", output, len(clients))
	}
	for _, p := range clients {
		p.ExpectClose(1012)
	}
	clients = r.spread(t, s, host)
	s.signal(syscall.SIGTERM)
	eventually(t, "readiness is red", func() bool {
		answer, _ := wstest.Ask(t, s.operators("health"), get("/readyz"))
		return answer.StatusCode == 503
	})
	s.echoes(t, host, "/late") // in the delay
	for _, p := range clients {
		p.ExpectClose(1001)
	}
	if code := s.exit(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}

	page := readRecipe(t, "kubernetes")
	var file struct {
		Spec struct{ Template struct{ Spec podSpec } }
	}
	if err := yaml.Unmarshal([]byte(page.blocks["yaml"][1]), &file); err != nil {
		t.Fatal(err)
	}
	pod := file.Spec.Template.Spec
	c := pod.Containers[0]
	if grace := time.Duration(pod.TerminationGracePeriodSeconds) * time.Second; grace < stopTime(t, page.config)+10*time.Second {
		t.Errorf("the grace period is %v, and a stop takes %v", grace, stopTime(t, page.config))
	}
	if !strings.Contains(page.config, "\nwatch: true\n") {
		t.Error("a new ConfigMap is not read by itself")
	}
	health := regexp.MustCompile(`health: ":(\d+)"`).FindStringSubmatch(page.config)
	for _, probe := range []probe{c.ReadinessProbe, c.LivenessProbe} {
		if strconv.Itoa(probe.HTTPGet.Port) != health[1] {
			t.Errorf("%s is asked at port %d, and served at %s", probe.HTTPGet.Path, probe.HTTPGet.Port, health[1])
		}
	}
	if c.ReadinessProbe.HTTPGet.Path != "/readyz" || c.LivenessProbe.HTTPGet.Path != "/healthz" {
		t.Errorf("the probes are %+v and %+v", c.ReadinessProbe, c.LivenessProbe)
	}
	for _, m := range c.VolumeMounts {
		if !slices.ContainsFunc(pod.Volumes, func(v volume) bool { return v.Name == m.Name }) {
			t.Errorf("no volume %s", m.Name)
		}
	}
	if len(c.VolumeMounts) != 2 || c.VolumeMounts[0].MountPath != "/etc/sluice" || c.VolumeMounts[1].MountPath != "/tls" {
		t.Errorf("mounts %+v, want the directories of the file and of its certificate", c.VolumeMounts)
	}
}

// podSpec is what the test reads of a pod.
type podSpec struct {
	TerminationGracePeriodSeconds int `yaml:"terminationGracePeriodSeconds"`
	Containers                    []struct {
		ReadinessProbe probe `yaml:"readinessProbe"`
		LivenessProbe  probe `yaml:"livenessProbe"`
		VolumeMounts   []struct {
			Name      string
			MountPath string `yaml:"mountPath"`
		} `yaml:"volumeMounts"`
	}
	Volumes []volume
}

type probe struct {
	HTTPGet struct {
		Path string
		Port int
	} `yaml:"httpGet"`
}

type volume struct{ Name string }
