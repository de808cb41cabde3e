package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"sluice/config/report"
)

func TestBestEffortKeepsWhatIsRight(t *testing.T) {
	c, err := parse(`
listeners: [":80", "a", ":82"]
trusted_proxies: [a, 10.0.0.0/8]
tls: { certificates: [{ cert: a }, { cert: a, key: b }] }
backends: { a: { endpoints: [x] }, b: { endpoints: ["b:1"] } }
routes: [{ path: a, backend: b }, { path: /b, backend: a }, { path: /c, backend: b, websocket: { origins: [x] } }, { path: /d, respond: 200 }]
`)
	if n := len(err.(Problems)); n != 6 {
		t.Errorf("parse has %d problems; want 6:\n%v", n, err)
	}
	var kept []any
	for _, l := range c.Listeners {
		kept = append(kept, l.Address)
	}
	for _, b := range c.Backends {
		kept = append(kept, b.Name)
	}
	for _, r := range c.Routes {
		kept = append(kept, r.Index)
	}
	for _, p := range c.TrustedProxies {
		kept = append(kept, p.String())
	}
	if want := []any{":80", ":82", "b", 1, 3, "10.0.0.0/8"}; !reflect.DeepEqual(kept, want) || len(c.TLS.Certificates) != 1 {
		t.Errorf("parse keeps %v and %v; want %v and one certificate", kept, c.TLS.Certificates, want)
	}
}

func TestLoad(t *testing.T) {
	name := t.TempDir() + "/sluice.yaml"
	_, err := Load(name)
	if want := name + ":1:1: cannot read the configuration: no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("Load of no file = %v; want %s", err, want)
	}
	if err := os.WriteFile(name, []byte("routes: [{ files: www }]"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(name)
	if err != nil || c.File != name || c.Routes[0].Files.Root != strings.TrimSuffix(name, "sluice.yaml")+"www" {
		t.Errorf("Load = %+v, %v; want the root beside the file", c, err)
	}
}

func TestProblemsMerge(t *testing.T) {
	c, err := parse("routes: [{ path: /a, respond: 20 }, { path: /b, respond: 200 }]\nlog: { level: x }")
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatalf("parse = %v; want Problems", err)
	}
	r := c.Routes[0]
	problems = append(problems, c.Problem(r.Pos, fmt.Sprintf("routes[%d]", r.Index), "can never match"))
	want := `f:1:31: routes[0].respond.status: "20" is not within 200 to 599
f:1:37: routes[1]: can never match
f:2:15: log.level: "x" is not one of debug, info, warn, error`
	if got := problems.Sorted().Error(); got != want {
		t.Errorf("merged problems:\n%s\nwant:\n%s", got, want)
	}
}

func TestPosition(t *testing.T) {
	c, err := parse("backends:\n  app:\n    endpoints: ['https://a']\n    tls:\n      ca: a.pem\nroutes: [{ backend: app }]")
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]Pos{
		"backends.app.tls.ca": {Line: 5, Column: 11}, "backends.app.tls.cert": {Line: 4, Column: 5}, "backends.app.tls": {Line: 4, Column: 5}, "tls.certificates[0]": report.Start(), "": report.Start(),
	} {
		if got := c.Position(at); got != want {
			t.Errorf("Position(%q) = %v, want %v", at, got, want)
		}
	}
}
