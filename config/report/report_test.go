package report_test

import (
	"strings"
	"testing"

	"sluice/config/report"
)

func TestPath(t *testing.T) {
	routes := report.Path("routes").Index(2).Key("headers")
	tests := []struct {
		name string
		path report.Path
		want string
	}{
		{name: "key of the whole", path: report.Path("").Key("tls"), want: "tls"},
		{name: "key", path: routes.Key("X-A"), want: "routes[2].headers.X-A"},
		{name: "quoted key", path: routes.Key("a.b"), want: `routes[2].headers."a.b"`},
		{name: "empty key", path: routes.Key(""), want: `routes[2].headers.""`},
		{name: "long key", path: report.Path("").Key(strings.Repeat("k", 100)), want: `"` + strings.Repeat("k", 80) + `..."`},
		{name: "around a key", path: routes.Parent(), want: "routes[2]"},
		{name: "around an element", path: routes.Parent().Parent(), want: "routes"},
		{name: "around the whole", path: report.Path("routes").Parent(), want: ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if string(tt.path) != tt.want {
				t.Errorf("the path is %s; want %s", tt.path, tt.want)
			}
		})
	}
}

func TestProblemError(t *testing.T) {
	tests := []struct {
		name    string
		problem report.Problem
		want    string
	}{
		{name: "in a file", problem: report.Problem{File: "f", Pos: report.Pos{Line: 3, Column: 4}, Path: "tls", Message: "is wrong"}, want: "f:3:4: tls: is wrong"},
		{name: "of a whole file", problem: report.Problem{File: "f", Pos: report.Start(), Message: "is wrong"}, want: "f:1:1: is wrong"},
		{name: "in no file", problem: report.Problem{Path: "tls", Message: "is wrong"}, want: "tls: is wrong"},
		{name: "in what has a name only", problem: report.Problem{File: "gateway", Path: "tls", Message: "is wrong"}, want: "gateway: tls: is wrong"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.problem.Error(); got != tt.want {
				t.Errorf("Error of %+v = %q; want %q", tt.problem, got, tt.want)
			}
		})
	}
}

func TestReport(t *testing.T) {
	tests := []struct {
		name   string
		report *report.Report
		where  string
		want   string // problems
	}{
		{name: "of a file", report: report.OfFile("f"), where: "line 3", want: "f:1:1: log: is missing\nf:3:4: tls.acme.email: \"x\" is wrong"},
		{name: "of values", report: report.OfValues(""), where: "tls.acme", want: "log: is missing\ntls.acme.email: \"x\" is wrong"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := tt.report
			source := report.Source{Written: "x", Literal: true}
			if tt.name == "of a file" {
				source.Pos = report.Pos{Line: 3, Column: 4}
			}
			r.Give("tls.acme", report.Source{Pos: source.Pos})
			r.Give("tls.acme.email", source)
			r.Reject("tls.acme.email", "is %s", "wrong")
			r.Fail("log", "is missing")
			if got := r.Where("tls.acme"); got != tt.where {
				t.Errorf("Where = %q; want %q", got, tt.where)
			}
			if got := r.Problems().Error(); got != tt.want {
				t.Errorf("problems\n%s\nwant\n%s", got, tt.want)
			}
			if !r.Good("tls.acme") || r.Good("tls.acme.email") || !r.Has("tls.acme.email") || r.Has("log") || !r.Broken("tls") || r.Broken("routes") {
				t.Error("Good, Has or Broken is wrong")
			}
		})
	}
}
