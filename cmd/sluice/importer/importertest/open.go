package importertest

import (
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	"sluice/cmd/sluice/importer"
	"sluice/config"
	"sluice/internal/header"
	"sluice/route"
)

// A Request is one that generated configurations are asked about.
type Request struct {
	Method, Host, Path string

	Staff  bool // it has a header X-Staff with the value yes
	Socket bool // it is a WebSocket handshake
	Near   bool // its client has an address that some conditions are about, which no route can be
}

// NothingMoreIsOpen imports a text and checks that clients get nothing of what the source refuses, wherever
// they are.
func NothingMoreIsOpen(t *testing.T, read Read, file, text string, paths []string, refuses func(Request) bool) {
	t.Helper()
	opens := opens(t, read, file, text)
	for _, p := range paths {
		for _, host := range []string{"a.test", "b.test", "x.b.test", "y.b.test", "c.test"} {
			for _, r := range []Request{{Method: "GET"}, {Method: "GET", Staff: true}, {Method: "GET", Socket: true}, {Method: "POST"}, {Method: "POST", Staff: true}} {
				r.Host, r.Path = host, p
				near := r
				near.Near = true
				if opens(r) && (refuses(r) || refuses(near)) {
					t.Fatalf("%+v is open, and not in the source. Of\n%s\nbecame\n%s", r, text, Import(t, read, file, text).Text)
				}
			}
		}
	}
}

// opens imports a text and returns what tells whether a request gets more than a refusal.
func opens(t *testing.T, read Read, file, text string) func(Request) bool {
	t.Helper()
	plan, err := read(importer.Source{Files: []importer.File{{Name: file, Text: text}}})
	if err != nil {
		t.Fatal(err)
	}
	result, err := importer.Write(plan)
	if err != nil {
		return func(Request) bool { return false } // there is nothing that could be served
	}
	cfg, err := config.Parse("imported", result.Text, config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var entries []route.Entry[bool]
	for _, r := range cfg.Routes {
		entries = append(entries, route.Entry[bool]{Value: r.Redirect == nil && (r.Respond == nil || r.Respond.Status < 300), Pattern: route.Pattern{
			Hosts: r.Hosts, Paths: r.Paths, Methods: r.Methods, Headers: r.Headers, Query: r.Query, Protocol: r.Protocol,
		}})
	}
	table, conflicts := route.Compile(entries)
	if len(conflicts) > 0 {
		t.Fatalf("route %d: %s", conflicts[0].Route, conflicts[0].Message)
	}
	return func(r Request) bool {
		q := route.Request{Method: r.Method, Host: r.Host, Path: r.Path, WebSocket: r.Socket}
		if r.Staff {
			q.Header = header.Fields{{Name: "X-Staff", Value: "yes"}}
		}
		match, miss := table.Match(&q)
		return miss == route.None && match.Value
	}
}

// Pick returns one of several values.
func Pick[T any](g *rand.Rand, all ...T) T { return all[g.IntN(len(all))] }

// Merged returns a path with one slash in the place of several.
func Merged(given string) string {
	text := path.Clean(given)
	if strings.HasSuffix(given, "/") && text != "/" {
		text += "/"
	}
	return text
}
