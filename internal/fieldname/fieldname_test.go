package fieldname

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"sluice/internal/header"
)

func TestStrip(t *testing.T) {
	set := NewSet("X-Remote-User", "Cookie", "x_admin", "X-Forwarded-*", strings.Repeat("Long-", 20))
	tests := []struct {
		name string
		in   []string
		want []string // what is left
	}{
		{name: "as it is named", in: []string{"X-Remote-User", "Cookie", "X_admin"}},
		{name: "in another case", in: []string{"x-remote-USER", "COOKIE", "X_ADMIN"}},
		{name: "with an underscore", in: []string{"X_Remote_User", "X_Remote-User", "X-Remote_user"}},
		{name: "without one", in: []string{"X-Admin"}},
		{name: "with any other byte of a token", in: []string{"X.Remote~User", "X!Remote|User", "X'admin"}},
		{name: "all that begin so", in: []string{"X-Forwarded-For", "x_forwarded_", "X.Forwarded-Anything_else", "X-Forwarded-" + strings.Repeat("a", 300)}},
		{name: "longer than most", in: []string{strings.Repeat("Long-", 20), strings.Repeat("long_", 20)}},
		{
			name: "others",
			in:   []string{"X-Remote", "X-Remote-Users", "Xremote-User", "X--Remote-User", "Cookie2", "X-Forwarded", "Forwarded", "", "É"},
			want: []string{"", "Cookie2", "Forwarded", "X--Remote-User", "X-Forwarded", "X-Remote", "X-Remote-Users", "Xremote-User", "É"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var h header.Fields
			for _, name := range tt.in {
				h.AddName(name, "value")
			}
			set.Strip(&h)
			var got []string
			for _, f := range h {
				got = append(got, f.Name)
			}
			if slices.Sort(got); !slices.Equal(got, tt.want) {
				t.Errorf("Strip(%q) left %q; want %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestEmptySet(t *testing.T) {
	var s Set
	h := header.FromHTTP(http.Header{"": {""}, "A": {""}})
	s.Strip(&h)
	if len(h) != 2 || s.Has("") || s.Has("A") {
		t.Errorf("the empty set has names, or left of two %v", h)
	}
}

// FuzzSet: a set has the names that fold to one of its own, and no others.
func FuzzSet(f *testing.F) {
	f.Add("X-Remote-User", "X_Remote.User")
	f.Add("X-*", "x_")
	f.Add("É", "--")
	f.Fuzz(func(t *testing.T, member, name string) {
		s := NewSet(member)
		want := Fold(name) == Fold(member)
		if prefix, ok := strings.CutSuffix(member, "*"); ok {
			want = strings.HasPrefix(Fold(name), Fold(prefix))
		}
		if got := s.Has(name); got != want {
			t.Errorf("NewSet(%q).Has(%q) = %t; want %t", member, name, got, want)
		}
		if again := Fold(Fold(name)); again != Fold(name) {
			t.Errorf("Fold(%q) = %q, and of that %q", name, Fold(name), again)
		}
	})
}

// request returns the headers that a browser sends.
func request() header.Fields {
	return header.FromHTTP(http.Header{
		"Accept": {"*/*"}, "Accept-Encoding": {"gzip"}, "Accept-Language": {"en"}, "Cache-Control": {"no-cache"}, "Cookie": {"a=b"},
		"Origin": {"https://a.test"}, "Pragma": {"no-cache"}, "Referer": {"https://a.test/"}, "Sec-Fetch-Dest": {"empty"},
		"Sec-Fetch-Mode": {"cors"}, "User-Agent": {"Mozilla"}, "X-Requested-With": {"XMLHttpRequest"},
	})
}

func TestStripDoesNotAllocate(t *testing.T) {
	s, h := NewSet("X-Remote-User", "X-Admin", "X-Access-Token-Of-The-Gateway", "X-Forwarded-*"), request()
	if n := testing.AllocsPerRun(100, func() { s.Strip(&h) }); n != 0 {
		t.Errorf("Strip of %d fields allocates %v times; want 0", len(h), n)
	}
}

func BenchmarkStrip(b *testing.B) {
	s, h := NewSet("X-Remote-User", "X-Admin", "X-Access-Token-Of-The-Gateway", "X-Forwarded-*"), request()
	b.ReportAllocs()
	for b.Loop() {
		s.Strip(&h)
	}
}
