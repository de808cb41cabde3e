package admin

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFilters(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	s := Session{
		Session: "00000000000000a1", RequestID: "r-1", Route: "chat", Backend: "app", Endpoint: "127.0.0.1:9000", Client: "192.0.2.7",
		Opened: now.Add(-10 * time.Second), Last: now.Add(-2 * time.Second),
		FromClient: Traffic{Messages: 30, Bytes: 300}, FromBackend: Traffic{Messages: 20, Bytes: 700},
	}
	six, mapped, local := s, s, s
	six.Client, mapped.Client, local.Client = "2001:db8::1", "::ffff:192.0.2.7", ""
	fresh := Session{Opened: now, Last: now, FromClient: Traffic{Messages: 3}}
	tests := []struct {
		query string
		s     Session
		want  bool
	}{
		{"", s, true},
		{"route=chat", s, true},
		{"route=Chat", s, false},
		{"route=cha", s, false},
		{"backend=app", s, true},
		{"backend=chat", s, false},
		{"endpoint=127.0.0.1:9000", s, true},
		{"endpoint=127.0.0.1", s, false},
		{"request_id=r-1", s, true},
		{"request_id=r", s, false},
		{"client=192.0.2.7", s, true},
		{"client=192.0.2.8", s, false},
		{"client=192.0.2.0/24", s, true},
		{"client=192.0.3.0/24", s, false},
		{"client=0.0.0.0/0", s, true},
		{"client=0.0.0.0/0", six, false},
		{"client=::/0", s, false},
		{"client=2001:db8::/32", six, true},
		{"client=2001:db8:0::1", six, true},
		{"client=::ffff:192.0.2.7", s, true},
		{"client=::ffff:192.0.2.0/120", s, true},
		{"client=192.0.2.7", mapped, true},
		{"client=0.0.0.0/0", local, false},
		{"min_age=10s", s, true},
		{"min_age=10.001s", s, false},
		{"max_age=10s", s, true},
		{"max_age=9s", s, false},
		{"max_age=1d", s, true},
		{"min_age=1d1h", s, false},
		{"min_age=0s", fresh, true},
		{"min_idle=2s", s, true},
		{"min_idle=3s", s, false},
		{"max_idle=2s", s, true},
		{"max_idle=1s", s, false},
		{"min_messages=50", s, true},
		{"min_messages=51", s, false},
		{"max_messages=50", s, true},
		{"max_messages=49", s, false},
		{"min_bytes=1000", s, true},
		{"min_bytes=1001", s, false},
		{"max_bytes=1000", s, true},
		{"max_bytes=999", s, false},
		{"min_rate=5", s, true},
		{"min_rate=5.01", s, false},
		{"max_rate=5", s, true},
		{"max_rate=4.99", s, false},
		{"min_rate=3", fresh, true}, // a life shorter than a second counts as one
		{"min_rate=3.1", fresh, false},
		{"route=chat&client=192.0.2.0/24&min_age=1s&max_messages=100", s, true},
		{"route=chat&client=192.0.2.0/24&min_age=1s&max_messages=10", s, false},
	}
	for _, tt := range tests {
		q, err := parseQuery(tt.query, FilterParameters())
		if err != nil {
			t.Fatalf("parseQuery(%q): %v", tt.query, err)
		}
		f, err := newFilter(q, now)
		if err != nil {
			t.Errorf("newFilter(%q): %v", tt.query, err)
			continue
		}
		if got := f.match(&tt.s); got != tt.want {
			t.Errorf("filter %q matches a session of %q: %t, want %t", tt.query, tt.s.Client, got, tt.want)
		}
	}
	for _, p := range FilterParameters() {
		if !slices.ContainsFunc(tests, func(tt struct {
			query string
			s     Session
			want  bool
		}) bool {
			return strings.HasPrefix(tt.query, p.Name+"=") && tt.want
		}) {
			t.Errorf("the parameter %s has no case here", p.Name)
		}
	}
}

func TestFiltersAreRefused(t *testing.T) {
	tests := []struct{ query, want string }{
		{"client=a.test", `client "a.test" is neither an address nor a network`},
		{"client=192.0.2.1:80", "neither an address"},
		{"client=192.0.2.1/24", "write 192.0.2.0/24"},
		{"client=192.0.2.0/33", "neither an address"},
		{"client=[::1]", "neither an address"},
		{"min_age=10", `min_age "10" is not a duration`},
		{"min_age=-1s", "is not a duration"},
		{"max_age=soon", "is not a duration"},
		{"min_idle=d", "is not a duration"},
		{"min_idle=1d1d", "is not a duration"},
		{"min_idle=-1d", "is not a duration"},
		{"min_idle=99999d", "is not a duration"},
		{"min_idle=1h1d", "is not a duration"},
		{"max_idle=9999999999h", "is not a duration"},
		{"min_messages=1.5", `min_messages "1.5" is not a whole number`},
		{"max_messages=-1", "is not a whole number"},
		{"min_bytes=1k", "is not a whole number"},
		{"max_bytes=99999999999999999999", "is not a whole number"},
		{"min_rate=x", `min_rate "x" is not a number`},
		{"min_rate=-1", "is not a number"},
		{"max_rate=NaN", "is not a number"},
		{"max_rate=Inf", "is not a number"},
		{"max_rate=1e999", "is not a number"},
		{"min_age=" + strings.Repeat("9", 5000), "..."}, // a long value is not written in full
	}
	for _, tt := range tests {
		q, err := parseQuery(tt.query, FilterParameters())
		if err != nil {
			t.Fatalf("parseQuery(%.60q): %v", tt.query, err)
		}
		if _, err := newFilter(q, time.Now()); err == nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 300 {
			t.Errorf("newFilter(%.60q): %.400v, want an error with %q", tt.query, err, tt.want)
		}
	}
}

func TestOrders(t *testing.T) {
	now := time.Now()
	a := Session{Session: "a", Client: "192.0.2.1", Route: "a", Endpoint: "a", Opened: now.Add(-2 * time.Minute), Last: now.Add(-2 * time.Second), FromClient: Traffic{Messages: 1, Bytes: 1}}
	b := Session{Session: "b", Client: "192.0.2.2", Route: "b", Endpoint: "b", Opened: now.Add(-time.Minute), Last: now.Add(-time.Second), FromBackend: Traffic{Messages: 2, Bytes: 2}}
	for _, name := range sortKeys() {
		for _, text := range []string{name, "-" + name} {
			order, err := newOrder(text, now)
			if err != nil {
				t.Fatal(err)
			}
			all := []Session{b, a}
			slices.SortFunc(all, func(x, y Session) int { return order(&x, &y) })
			want := "a"
			if text[0] == '-' {
				want = "b"
			}
			if all[0].Session != want {
				t.Errorf("sort=%s: %s is first, want %s", text, all[0].Session, want)
			}
		}
	}
	for _, text := range []string{"", "-", "--age", "age", "Opened", "opened,last", "session"} {
		if _, err := newOrder(text, now); err == nil || !strings.Contains(err.Error(), "opened") {
			t.Errorf("newOrder(%q): %v, want an error that names the orders", text, err)
		}
	}
}

func TestQueries(t *testing.T) {
	may := []Parameter{{"a", "string", ""}, {"b", "boolean", ""}}
	tests := []struct {
		raw, want string // of the error; "" means none
		may       []Parameter
	}{
		{"", "", may},
		{"a=1&b=true", "", may},
		{"a=%20", "", may},
		{"a=1&a=1", "the parameter a is given 2 times", may},
		{"c=1", `there is no parameter "c": known here are a, b`, may},
		{"A=1", `there is no parameter "A"`, may},
		{"c=1", "none is known here", nil},
		{"a=", "the parameter a is empty", may},
		{"a", "the parameter a is empty", may},
		{"=1", `there is no parameter ""`, may},
		{"a=%", "malformed", may},
		{"a=%zz", "malformed", may},
		{"a=1;b=2", "malformed", may},
		{"a=%ff", "not UTF-8", may},
		{"a=" + strings.Repeat("x", mostQuery), "at most", may},
		{strings.Repeat("x", 8000) + "=1", "...", may},
		{"%ff=1", "there is no parameter", may},
	}
	for _, tt := range tests {
		_, err := parseQuery(tt.raw, tt.may)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 300) {
			t.Errorf("parseQuery(%.40q): %.400v, want %q", tt.raw, err, tt.want)
		}
	}
	for text, want := range map[string]bool{"true": true, "false": false} {
		if got, err := (query{"b": text}).flag("b"); got != want || err != nil {
			t.Errorf("flag %q = %t, %v", text, got, err)
		}
	}
	for _, text := range []string{"1", "yes", "True", " true"} {
		if _, err := (query{"b": text}).flag("b"); err == nil || !strings.Contains(err.Error(), "true nor false") {
			t.Errorf("flag %q: %v, want an error", text, err)
		}
	}
}

// Any query is refused with a message, or gives a filter that says the same of every session when it
// is written and read again.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{
		"", "route=a&backend=b&endpoint=c", "client=192.0.2.0/24", "client=%3A%3A1", "client=fe80::1%25eth0", "client=::ffff:1.2.3.4/120",
		"min_age=1h30m&max_idle=0s", "min_messages=1&max_bytes=18446744073709551615", "min_rate=0x1p-2", "max_rate=1e308", "min_age=2562047h47m16.854775807s", "a=b", "route=%ff", "route=a&route=b",
	} {
		f.Add(seed)
	}
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	sessions := []Session{{}, {Client: "192.0.2.1", Route: "a", Backend: "b", Endpoint: "c", RequestID: "r", Opened: now.Add(-time.Hour), Last: now.Add(time.Hour), FromClient: Traffic{Messages: 1 << 63, Bytes: 1<<64 - 1}}, {Client: "fe80::1%eth0"}, {Client: "no address"}}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := parseQuery(raw, FilterParameters())
		if err != nil {
			if err.Error() == "" {
				t.Fatalf("parseQuery(%q): an error without a message", raw)
			}
			return
		}
		first, err := newFilter(q, now)
		if err != nil {
			if len(err.Error()) < 10 {
				t.Fatalf("newFilter(%q): %q says nothing", raw, err)
			}
			return
		}
		values := make(url.Values)
		for name, value := range q {
			values.Set(name, value)
		}
		again, err := parseQuery(values.Encode(), FilterParameters())
		if len(values.Encode()) > mostQuery {
			return // escapes have made it longer
		}
		if err != nil {
			t.Fatalf("parseQuery(%q), written as %q: %v", raw, values.Encode(), err)
		}
		second, err := newFilter(again, now)
		if err != nil || len(second.tests) != len(first.tests) || len(first.tests) != len(q) {
			t.Fatalf("newFilter(%q) again: %v", raw, err)
		}
		for i := range sessions {
			if a, b := first.match(&sessions[i]), second.match(&sessions[i]); a != b {
				t.Fatalf("filter %q of %+v: %t, and %t when it is read again", raw, sessions[i], a, b)
			}
		}
	})
}

func BenchmarkFilter(b *testing.B) {
	q, err := parseQuery("route=chat&client=192.0.2.0/24&min_age=1s&max_messages=100", FilterParameters())
	if err != nil {
		b.Fatal(err)
	}
	f, err := newFilter(q, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	s := newFakeGateway().sessions[0]
	b.ReportAllocs()
	for b.Loop() {
		f.match(&s)
	}
}
