package config

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// What is shown of a configuration can be read as one, means the same, and has no secret in it.
func TestShow(t *testing.T) {
	const secret = "s3cr3t-of-16-characters"
	options := Options{
		Dir:      "/etc/sluice",
		Getenv:   func(name string) (string, bool) { return secret, name == "API_TOKEN" },
		ReadFile: func(string) ([]byte, error) { return []byte(secret + "\n"), nil },
	}
	c, err := Parse("config.example.yaml", []byte(example(t)), options)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(c.Show(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), secret) {
		t.Errorf("a secret is shown:\n%s", text)
	}
	for _, want := range []string{`"X-Api-Key": "REDACTED"`, `"idle": "2m"`, `"max_header_bytes": "64KiB"`, `"address": "127.0.0.1:9901"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not shown:\n%s", want, text)
		}
	}
}

// Variables are shown as they are written, wherever they are.
func TestShowVariables(t *testing.T) {
	c, err := Parse("f", []byte("admin: { address: ':1', insecure: true, token: '${T}' }\nroutes: [{ path: '/${P}', backend: '${B}:80', response: { set_headers: { A: 'b' } }, headers: { B: 'c', D: '${H}', E: '${H:-real}', F: 'Bearer ${H}' }, query: { q: '${Q}' } }]"), Options{
		Getenv: func(name string) (string, bool) {
			return map[string]string{"B": "backend.test"}[name] + map[bool]string{true: "sixteen-characters"}[name != "B"], true // a backend of a route has its address as its name
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(c.Show())
	if strings.Contains(string(text), "sixteen") {
		t.Errorf("the value of a variable is shown: %s", text)
	}
	for _, want := range []string{`"/${P}"`, `"${B}:80"`, `"${T}"`, `"A":"REDACTED"`, `"B":"REDACTED"`, `"D":"${H}"`, `"q":"${Q}"`, `"E":"REDACTED"`, `"F":"REDACTED"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not shown: %s", want, text)
		}
	}
}

func TestShowListsThatAreOff(t *testing.T) {
	c, err := parse("backends: { a: { endpoints: 'a:1', passive: { statuses: off } }, b: 'b:1' }\nlog: { redact: off }\nroutes: [{ backend: a }]")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(c.Show())
	for want, times := range map[string]int{`"redact":"off"`: 1, `"statuses":"off"`: 1, `"max_sessions":"off"`: 3} {
		if got := strings.Count(string(text), want); got != times {
			t.Errorf("%s is shown %d times, want %d: %s", want, got, times, text)
		}
	}
}

func BenchmarkShow(b *testing.B) {
	text, err := os.ReadFile("../config.example.yaml")
	if err != nil {
		b.Fatal(err)
	}
	c, err := Parse("f", text, Options{Getenv: func(string) (string, bool) { return "x", true }, ReadFile: func(string) ([]byte, error) { return []byte("a secret"), nil }})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		c.Show()
	}
}
