package expression

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sluice/cmd/sluice/importer"
)

// show writes sets of paths: an Any as {}, a beginning with * at its end.
func show(sets []importer.Paths) string {
	var all []string
	for _, p := range sets {
		text := strings.ReplaceAll(p.Text, importer.Any, "{}")
		if !p.Exact {
			text += "*" + p.Suffix
		}
		if p.Longer {
			text += "+"
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestRead(t *testing.T) {
	for _, tt := range []struct{ text, exact, more string }{
		{`^/x$`, "/x", ""},
		{`^/x`, "/x*", ""},
		{`^/(api|ws)/`, "/api/* /ws/*", ""},
		{`^/x(/.*)?$`, "/x /x/*", ""},
		{`^/colou?r$`, "/color /colour", ""},
		{`\.php$`, "/*.php", ""},
		{`\.(js|css|jpe?g)$`, "/*.css /*.jpeg /*.jpg /*.js", ""},
		{`^.+\.php$`, "/*.php", ""},
		{`.+\.php$`, "/*.php", ""},
		{`^/img/.*\.png$`, "/img/*.png", ""},
		{`^/img/.+\.png$`, "/img/*.png+", ""},
		{`^/img.*\.png$`, "/img*.png", ""},
		{`^/a.*a$`, "", "/a*a"}, // not /a
		{`^/users/[^/]+/ws$`, "/users/{}/ws", ""},
		{`^/users/([^/]+)/ws/`, "/users/{}/ws/*", ""},
		{`^/users/[^/]+`, "/users/{} /users/{}/*", ""},
		{`^/users/[0-9]+/ws$`, "", "/users/{}/ws"},
		{`^/v[0-9]+/`, "", "/{}/*"},
		{`^/files/[^/]+\.pdf$`, "", "/files/*.pdf"},
		{`/index\.php$`, "", "/*index.php"},
		{`/\.`, "", "/*"},
		{`secret`, "", "/*"},
		{`^/x.*y.*z$`, "", "/x*z"},
		{`^/api/.+`, "", "/api/*"},
		{`^[^/]`, "", ""},
		{`x$`, "/*x", ""},
		{`(?!x)`, "", "/*"},
		{``, "/*", ""},
		{`^$`, "", ""},
		{`$`, "/*", ""},
		{`^/[a-d]{9}$`, "", "/*"},
	} {
		p := Read(tt.text, false, false)
		if exact, more := show(p.Exact), show(p.More); exact != tt.exact || more != tt.more {
			t.Errorf("Read(%s) = %q and %q, want %q and %q", tt.text, exact, more, tt.exact, tt.more)
		}
	}
}

func TestReadIgnoresCase(t *testing.T) {
	if p := Read(`\.(js)$`, true, false); show(p.Exact) != "/*.JS /*.Js /*.jS /*.js" || p.More != nil {
		t.Errorf("every spelling: %v", p)
	}
	if p := Read(`\.(JS)$`, true, true); show(p.Exact) != "/*.js" || p.More != nil {
		t.Errorf("the one in lower case: %v", p)
	}
	if p := Read(`^/administration`, true, false); show(p.More) != "/*" || p.Exact != nil {
		t.Errorf("too many spellings: %v", p)
	}
}

func TestSpellings(t *testing.T) {
	tests := []struct {
		text string
		want []string
	}{
		{"", []string{""}},
		{"/a1", []string{"/a1", "/A1"}},
		{"/" + importer.Any + "/X", []string{"/" + importer.Any + "/x", "/" + importer.Any + "/X"}},
		{"\u00e9", nil},
		{"abcdefghi", nil},
	}
	for _, tt := range tests {
		if got, ok := Spellings(tt.text); !slices.Equal(got, tt.want) || ok != (tt.want != nil) {
			t.Errorf("Spellings(%q) = %q, %v; want %q", tt.text, got, ok, tt.want)
		}
	}
}

// samples are paths that the fuzzer looks at.
func samples() (all []string) {
	parts := []string{"", "a", "b", "ab", "A", "a.x", ".x", "1", "a1", "12"}
	for _, one := range parts {
		all = append(all, "/"+one)
		for _, two := range parts {
			all = append(all, "/"+one+"/"+two, "/"+one+"/"+two+"/a")
		}
	}
	return all
}

// FuzzRead: what an expression matches is in one of the sets, and it matches all that is in the exact ones.
func FuzzRead(f *testing.F) {
	for _, text := range []string{`^/(a|b)/`, `\.x$`, `^/a/[^/]+$`, `^/a.*a$`, `^/[0-9]+/a`, `^/a?b*[ab]+/.+x$`, `/a|b$`, `^/[^/]*/a`, `^/a/.+\.x$`, `(?i)^/A`, "^/\x00", `^/[\x00a]/`, `^/[^/]+/\x{ff}`} {
		f.Add(text, false)
		f.Add(text, true)
	}
	paths := samples()
	f.Fuzz(func(t *testing.T, text string, foldCase bool) {
		flags := ""
		if foldCase {
			flags = "(?i)"
		}
		re, err := regexp.Compile(flags + "(?:" + text + ")")
		if err != nil {
			return
		}
		p := Read(text, foldCase, false)
		for _, path := range paths {
			in := func(sets []importer.Paths) bool {
				return slices.ContainsFunc(sets, func(q importer.Paths) bool { return q.Contains(importer.Exactly(path)) })
			}
			if matches := re.MatchString(path); matches && !in(p.Exact) && !in(p.More) || !matches && in(p.Exact) {
				t.Fatalf("%s matches %s: %v, and is %s", text, path, matches, fmt.Sprintf("exactly %q, and at most %q", show(p.Exact), show(p.More)))
			}
		}
	})
}
