package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// document is the part of an OpenAPI document that tests read.
type document struct {
	OpenAPI string `json:"openapi"`
	Paths   map[string]map[string]struct {
		Summary    string
		Security   []map[string][]string
		Parameters []struct {
			Name, In, Description string
			Required              bool
			Schema                map[string]any
		}
		Responses map[string]struct {
			Description string
			Content     map[string]struct{ Schema map[string]any }
		}
	}
	Components struct {
		Schemas         map[string]map[string]any
		SecuritySchemes map[string]map[string]any
	}
}

// described asks a server for its document.
func described(t *testing.T, path string) *document {
	t.Helper()
	r, body := ask(t, "unix", path, request("GET", "/openapi.json"))
	if r.StatusCode != 200 || r.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s", r.StatusCode, body)
	}
	d := new(document)
	if err := json.Unmarshal([]byte(body), d); err != nil {
		t.Fatal(err)
	}
	return d
}

// fits returns why a value, which was read from JSON, does not fit a schema.
func (d *document) fits(v any, schema map[string]any) error {
	if ref, ok := schema["$ref"].(string); ok {
		name, ok := strings.CutPrefix(ref, "#/components/schemas/")
		target := d.Components.Schemas[name]
		if !ok || target == nil {
			return fmt.Errorf("the schema %s is not there", ref)
		}
		return d.fits(v, target)
	}
	is := false
	switch x := v.(type) {
	case string:
		if is = schema["type"] == "string"; is && schema["format"] == "date-time" {
			if _, err := time.Parse(time.RFC3339, x); err != nil {
				return err
			}
		}
	case bool:
		is = schema["type"] == "boolean"
	case float64:
		is = schema["type"] == "number" || schema["type"] == "integer" && x == float64(int64(x))
	case []any:
		is = schema["type"] == "array"
		items, _ := schema["items"].(map[string]any)
		for i, item := range x {
			if err := d.fits(item, items); is && err != nil {
				return fmt.Errorf("[%d]: %w", i, err)
			}
		}
	case map[string]any:
		is = schema["type"] == "object"
		properties, _ := schema["properties"].(map[string]any)
		for name, value := range x {
			property, ok := properties[name].(map[string]any)
			if !ok && schema["additionalProperties"] == false {
				return fmt.Errorf(".%s is not in the schema", name)
			}
			if err := d.fits(value, property); ok && err != nil {
				return fmt.Errorf(".%s: %w", name, err)
			}
		}
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, ok := x[name.(string)]; !ok {
				return fmt.Errorf(".%s is missing", name)
			}
		}
	}
	if !is {
		return fmt.Errorf("%v is not of the type %v", v, schema["type"])
	}
	return nil
}

func TestTheDocumentHasEveryEndpoint(t *testing.T) {
	d := described(t, newSocketServer(t, newFakeGateway()))
	if d.OpenAPI != "3.1.0" || d.Components.SecuritySchemes["token"]["scheme"] != "bearer" {
		t.Errorf("version %s, schemes %v", d.OpenAPI, d.Components.SecuritySchemes)
	}
	n := 0
	for _, e := range endpoints() {
		o, ok := d.Paths[e.path][strings.ToLower(e.method)]
		if !ok || o.Summary == "" || o.Responses["200"].Description == "" || (len(o.Security) == 0) != e.open {
			t.Errorf("%s %s: %+v", e.method, e.path, o)
			continue
		}
		n++
		var got, want []string
		for _, p := range o.Parameters {
			got = append(got, p.In+" "+p.Name)
			if p.Required != (p.In == "path") || p.Schema["type"] == nil {
				t.Errorf("%s %s: parameter %+v", e.method, e.path, p)
			}
		}
		for part := range strings.SplitSeq(e.path, "/") {
			if strings.HasPrefix(part, "{") {
				want = append(want, "path "+strings.Trim(part, "{}"))
			}
		}
		for _, p := range e.parameters {
			want = append(want, "query "+p.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s %s has the parameters %q, want %q", e.method, e.path, got, want)
		}
	}
	all := 0
	for _, methods := range d.Paths {
		all += len(methods)
	}
	if n != all {
		t.Errorf("%d operations are in the document, and %d endpoints in the table", all, n)
	}
	for name, s := range d.Components.Schemas {
		properties, _ := s["properties"].(map[string]any)
		for property, p := range properties {
			if text, _ := p.(map[string]any)["description"].(string); text == "" {
				t.Errorf("%s.%s has no description", name, property)
			}
		}
	}
}

// What an endpoint answers is what the document says of it.
func TestAnswersFitTheDocument(t *testing.T) {
	full, empty := newFakeGateway(), new(emptyGateway)
	tests := []struct {
		name    string
		gateway Gateway
		prepare func()
		target  string // in place of the path of the endpoint
		method  string
		of      string // path in the document
		status  int
	}{
		{name: "full", gateway: full},
		{name: "empty", gateway: empty},
		{name: "not ready", gateway: empty, method: "GET", target: "/readyz", status: 503},
		{name: "bad reload", gateway: empty, method: "POST", target: "/reload", status: 422},
		{name: "sorted sessions", gateway: full, method: "GET", target: "/sessions?sort=rate", of: "/sessions", status: 200},
		{name: "sorted sessions", gateway: empty, method: "GET", target: "/sessions?sort=rate", of: "/sessions", status: 200},
		{name: "bad parameter", gateway: full, method: "GET", target: "/sessions?x=1", of: "/sessions", status: 400},
		{name: "dry run", gateway: full, method: "DELETE", target: "/sessions?all=true&dry_run=true", of: "/sessions", status: 200},
		{name: "a session that is gone", gateway: full, method: "GET", target: "/sessions/0000000000000000", of: "/sessions/{session}", status: 404},
	}
	filled := strings.NewReplacer("{session}", "00000000000000a1", "{backend}", "app", "{endpoint}", "127.0.0.1:9000", "{file}", "main.js")
	for _, tt := range tests {
		path := newSocketServer(t, tt.gateway)
		d := described(t, path)
		for _, e := range endpoints() {
			target, of := filled.Replace(e.path), e.path
			switch {
			case streams(e):
				continue
			case tt.target != "" && (e.method != tt.method || e.path != tt.of && e.path != tt.target):
				continue
			case tt.target != "":
				target = tt.target
			case e.method == "DELETE" && e.path == "/sessions":
				target += "?all=true"
			case e.path == "/loglevel":
				target += "?level=debug"
			}
			r, body := ask(t, "unix", path, request(e.method, target))
			if tt.status != 0 && r.StatusCode != tt.status {
				t.Errorf("%s: %s %s: status %d, want %d", tt.name, e.method, target, r.StatusCode, tt.status)
			}
			o := d.Paths[of][strings.ToLower(e.method)]
			response, ok := o.Responses[fmt.Sprint(r.StatusCode)]
			if !ok {
				response = o.Responses["default"]
			}
			if e.result == nil && r.StatusCode == 200 {
				continue // no JSON, or the document itself
			}
			content, ok := response.Content["application/json"]
			if !ok || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %s %s: no JSON", tt.name, e.method, target)
				continue
			}
			var v any
			if err := json.Unmarshal([]byte(body), &v); err != nil {
				t.Errorf("%s: %s %s: %v", tt.name, e.method, target, err)
				continue
			}
			if err := d.fits(v, content.Schema); err != nil {
				t.Errorf("%s: %s %s: status %d: the answer does not fit its schema: %v in\n%.400s", tt.name, e.method, target, r.StatusCode, err, body)
			}
		}
	}
}

// emptyGateway is a gateway that has nothing, and is not ready.
type emptyGateway struct{ fakeGateway }

func (*emptyGateway) Status() Status              { return Status{} }
func (*emptyGateway) Routes() []Route             { return nil }
func (*emptyGateway) Backends() []Backend         { return nil }
func (*emptyGateway) Certificates() []Certificate { return nil }
func (*emptyGateway) Ready() Ready                { return Ready{} }
func (*emptyGateway) Reload() (Reload, error) {
	return Reload{Mistakes: []string{"f:1: a"}}, errors.New("f:1: a")
}

// The test of answers finds what does not fit.
func TestFits(t *testing.T) {
	d := described(t, newSocketServer(t, newFakeGateway()))
	schema := map[string]any{"$ref": "#/components/schemas/Listener"}
	for text, want := range map[string]bool{
		`{"name":"a","address":"b","tls":true,"connections":{"used":1,"limit":0}}`:          true,
		`{"name":"a","address":"b","tls":true,"connections":{"used":1,"limit":0},"more":1}`: false,
		`{"name":"a","address":"b","tls":true}`:                                             false,
		`{"name":"a","address":"b","tls":"true","connections":{"used":1,"limit":0}}`:        false,
		`{"name":"a","address":"b","tls":true,"connections":{"used":1.5,"limit":0}}`:        false,
		`{"name":"a","address":"b","tls":true,"connections":null}`:                          false,
		`[]`: false,
		`{"name":"a","address":"b","tls":true,"connections":{"used":1,"limit":0,"unit":"bits"}}`: false,
	} {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		if err := d.fits(v, schema); (err == nil) != want {
			t.Errorf("fits(%s) = %v, want it to fit: %t", text, err, want)
		}
	}
}
