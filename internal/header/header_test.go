package header

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestLookup(t *testing.T) {
	for id := Other + 1; id < known; id++ {
		name := id.String()
		if name == "" || !strings.EqualFold(http.CanonicalHeaderKey(name), name) {
			t.Errorf("the name of %d is %q", id, name)
		}
		for _, spelling := range []string{name, strings.ToUpper(name), strings.ToLower(name)} {
			if got := Lookup(spelling); got != id {
				t.Errorf("Lookup(%q) = %v; want %v", spelling, got, id)
			}
		}
	}
	for _, name := range []string{"", "X", "Hosts", "X-Forwarded-Fo", strings.Repeat("x", 100), "Content_Length"} {
		if got := Lookup(name); got != Other {
			t.Errorf("Lookup(%q) = %v; want none", name, got)
		}
	}
}

// lines writes fields as "Name: value" lines.
func lines(h Fields) string {
	var all []string
	for _, f := range h {
		if f.ID != Lookup(f.Name) {
			all = append(all, "wrong ID:")
		}
		all = append(all, f.Name+": "+f.Value)
	}
	return strings.Join(all, ", ")
}

func TestFields(t *testing.T) {
	var h Fields
	h.AddName("accept", "a, b")
	h.AddName("x-Own", "1")
	h.Add(Via, "v")
	h.AddName("X-OWN", "2")
	h.Add(Accept, " ,c,\t d\t,")
	checks := []struct{ got, want string }{
		{lines(h), "Accept: a, b, x-Own: 1, Via: v, X-OWN: 2, Accept:  ,c,\t d\t,"},
		{h.Get(Accept), "a, b"},
		{h.Get(Host), ""},
		{fmt.Sprint(h.Count(Accept), h.Has(Via), h.Has(Date)), "2 true false"},
		{fmt.Sprintf("%q", slices.Collect(h.Values(Accept))), `["a, b" " ,c,\t d\t,"]`},
		{fmt.Sprintf("%q", slices.Collect(h.Named("x-own"))), `["1" "2"]`},
		{fmt.Sprintf("%q", slices.Collect(h.Named("VIA"))), `["v"]`},
		{fmt.Sprintf("%q", slices.Collect(h.Elements(Accept))), `["a" "b" "c" "d"]`},
		{fmt.Sprint(h.HasToken(Accept, "D"), h.HasToken(Accept, "e"), h.HasToken(Via, "V"), ListHas("", "")), "true false true false"},
		{fmt.Sprint(h.Size()), fmt.Sprint(len("Accept: a, b\r\nx-Own: 1\r\nVia: v\r\nX-OWN: 2\r\nAccept:  ,c,\t d\t,\r\n"))},
	}
	for i, c := range checks {
		if c.got != c.want {
			t.Errorf("%d: got %s; want %s", i, c.got, c.want)
		}
	}
	for v := range h.Elements(Accept) { // a loop may end early
		if v != "a" {
			t.Errorf("the first element is %q", v)
		}
		break
	}
	h.Set(Accept, "z")
	h.SetName("X-own", "3")
	if got, want := lines(h), "Via: v, Accept: z, X-own: 3"; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
	h.Del(Via)
	h.Del(Date)
	h.DelFunc(func(f *Field) bool { return f.Value == "3" })
	if got, want := lines(h), "Accept: z"; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

// What net/http has read is the same in the other form.
func TestHTTP(t *testing.T) {
	want := http.Header{
		"Sec-Websocket-Key": {"k"}, "Te": {"trailers"}, "Etag": {"e"}, "X-Own": {"1", "2"}, "Cookie": {"a", "b"}, "X_user": {"u"},
	}
	fields := FromHTTP(want)
	slices.SortStableFunc(fields, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	if got, want := lines(fields), "Cookie: a, Cookie: b, ETag: e, Sec-WebSocket-Key: k, TE: trailers, X-Own: 1, X-Own: 2, X_user: u"; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
	want["Sec-WebSocket-Key"] = want["Sec-Websocket-Key"]
	delete(want, "Sec-Websocket-Key")
	if got := fields.HTTP(); !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %v; want %v", got, want)
	}
}
