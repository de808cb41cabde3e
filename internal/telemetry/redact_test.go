package telemetry

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
)

func TestRedact(t *testing.T) {
	tests := []struct {
		name, uri string
		names     []string
		want      string
	}{
		{"no names", "/?token=s", nil, "/?token=s"},
		{"no query", "/token=s", []string{"token"}, "/token=s"},
		{"an empty query", "/?", []string{"token"}, "/?"},
		{"other parameters", "/a?b=1&c=2&&d", []string{"token"}, "/a?b=1&c=2&&d"},
		{"alone", "/?token=s", []string{"token"}, "/?token=REDACTED"},
		{"among others", "/?a=1&token=s&b=2", []string{"token"}, "/?a=1&token=REDACTED&b=2"},
		{"twice", "/?token=s&token=s", []string{"token"}, "/?token=REDACTED&token=REDACTED"},
		{"several names", "/?token=s&key=s&x=1", []string{"key", "token"}, "/?token=REDACTED&key=REDACTED&x=1"},
		{"an empty value", "/?token=", []string{"token"}, "/?token=REDACTED"},
		{"no value", "/?token&a=1", []string{"token"}, "/?token&a=1"},
		{"a value with signs", "/?token=a=b?c/d#e;f", []string{"token"}, "/?token=REDACTED"},
		{"another case", "/?ToKeN=s", []string{"tOkEn"}, "/?ToKeN=REDACTED"},
		{"a longer name", "/?token2=s&atoken=s", []string{"token"}, "/?token2=s&atoken=s"},
		{"percent-encoded", "/?%74ok%65n=s", []string{"token"}, "/?%74ok%65n=REDACTED"},
		{"a name with a space", "/?my+key=s&my%20key=s", []string{"my key"}, "/?my+key=REDACTED&my%20key=REDACTED"},
		{"a name with a plus, as it stands", "/?a+b=s&a%2Bb=s", []string{"a+b"}, "/?a+b=REDACTED&a%2Bb=REDACTED"},
		{"a name with a percent sign, as it stands", "/?a%62=s", []string{"a%62"}, "/?a%62=REDACTED"},
		{"a name that cannot be read", "/?%zz=s&%=s", []string{"token"}, "/?%zz=REDACTED&%=REDACTED"},
		{"an encoded equals sign", "/?token%3Ds", []string{"token"}, "/?token%3Ds"},
		{"behind a semicolon, as some servers separate", "/?a=1;token=s;b=2&c=3", []string{"token"}, "/?a=1;token=REDACTED&c=3"},
		{"in front of a semicolon", "/?token=s;t&c=3", []string{"token"}, "/?token=REDACTED&c=3"},
		{"a name with a semicolon", "/?a;b=s", []string{"a;b"}, "/?a;b=REDACTED"},
		{"behind a second question mark", "/?a?b&token=s", []string{"token"}, "/?a?b&token=REDACTED"},
		{"absolute form", "http://a.test/?token=s", []string{"token"}, "http://a.test/?token=REDACTED"},
		{"asterisk form", "*", []string{"token"}, "*"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Redact(tt.uri, tt.names); got != tt.want {
				t.Errorf("Redact(%q, %q) = %q; want %q", tt.uri, tt.names, got, tt.want)
			}
		})
	}
}

// The value of a redacted parameter never appears, at any place and with any
// spelling of the name. To redact the result again changes nothing.
func FuzzRedact(f *testing.F) {
	f.Add("/a", "b=1", "token", "c=2", uint64(1))
	f.Add("/?", "a;b", "a+b", "%zz=", uint64(2))
	f.Add("http://u:p@h/#", "=&=", "\xff%", ";", uint64(3))
	const value = "5ecretValue"
	f.Fuzz(func(t *testing.T, path, before, name, after string, seed uint64) {
		if strings.ContainsAny(name, "&=") || name == "" { // package config refuses these
			return
		}
		if strings.Contains(path+before+name+after, value) {
			return
		}
		r := rand.New(rand.NewPCG(seed, 0))
		separator := []string{"&", ";"}[r.IntN(2)]
		if separator == ";" && strings.Contains(name, ";") {
			return // no server could read this name
		}
		spelled := name
		if r.IntN(3) > 0 || strings.ContainsAny(name, "#%+") {
			spelled = spell(r, name)
		}
		uri := path + "?" + before + separator + spelled + "=" + value + []string{"", "&" + after}[r.IntN(2)]
		got := Redact(uri, []string{"other", name})
		if strings.Contains(got, value) {
			t.Errorf("Redact(%q, [%q]) = %q", uri, name, got)
		}
		if again := Redact(got, []string{"other", name}); again != got {
			t.Errorf("Redact(%q, [%q]) = %q and then %q", uri, name, got, again)
		}
		_, query, _ := strings.Cut(got, "?")
		parsed, _ := url.ParseQuery(query)
		for _, v := range parsed[name] {
			if v != "REDACTED" && v != "" {
				t.Errorf("Redact(%q, [%q]) = %q leaves %q", uri, name, got, v)
			}
		}
	})
}

// spell returns name in one of the spellings that decode to it.
func spell(r *rand.Rand, name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		switch {
		case c == ' ' && r.IntN(2) == 0:
			b.WriteByte('+')
		case strings.IndexByte("%+;&=#", c) >= 0 || r.IntN(2) == 0:
			fmt.Fprintf(&b, "%%%02x", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func BenchmarkRedact(b *testing.B) {
	for _, bench := range []struct{ name, uri string }{
		{"no query", "/ws/chat"},
		{"short", "/ws/chat?room=1&token=abcdef&x=y"},
		{"hostile", "/?" + strings.Repeat("a;", 30<<10)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			names := []string{"token", "key"}
			b.ReportAllocs()
			for b.Loop() {
				Redact(bench.uri, names)
			}
		})
	}
}
