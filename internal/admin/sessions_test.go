package admin

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// fullSession returns a session all of whose fields are set, so that none can be forgotten.
func fullSession(t testing.TB, text string) Session {
	var s Session
	number := uint64(1)
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		for _, field := range v.Fields() {
			switch field.Kind() {
			case reflect.String:
				field.SetString(text)
			case reflect.Bool:
				field.SetBool(true)
			case reflect.Uint64:
				field.SetUint(number)
				number++
			case reflect.Struct:
				if field.Type() == reflect.TypeFor[time.Time]() {
					field.Set(reflect.ValueOf(time.Unix(1, int64(number)).In(time.FixedZone("", 3600))))
					continue
				}
				fill(field)
			default:
				t.Fatalf("no value for a %v", field.Type())
			}
		}
	}
	fill(reflect.ValueOf(&s).Elem())
	return s
}

func FuzzSessionJSON(f *testing.F) {
	for _, text := range []string{"", "chat", `quotes " and \`, "<b>&", "line\nfeed", "é", "\xff", "\x7f", " "} {
		f.Add(text, uint64(0), false)
		f.Add(text, uint64(math.MaxUint64), true)
	}
	f.Fuzz(func(t *testing.T, text string, number uint64, set bool) {
		s := fullSession(t, text)
		s.FromBackend.Bytes, s.Compression = number, set
		want, err := json.Marshal(&s)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.appendJSON(nil, new(timeText), new(timeText)); string(got) != string(want) {
			t.Errorf("a session is\n%s, want\n%s", got, want)
		}
	})
}

// Times are written as encoding/json writes them, whatever was written before.
func TestTimeText(t *testing.T) {
	var x timeText
	east := time.FixedZone("", 3600)
	for _, tt := range []time.Time{
		time.Unix(1, 0).UTC(), time.Unix(1, 1).UTC(), time.Unix(1, 120_000_000).UTC(), time.Unix(1, 999_999_999).UTC(),
		time.Unix(1, 500).In(east), time.Unix(1, 500).UTC(), time.Unix(2, 0).UTC(), time.Unix(0, 0).UTC(), time.Unix(0, 7).In(east),
		time.Unix(1, 7), time.Now(), time.Now().In(east), time.Date(2024, 2, 29, 23, 59, 59, 1_000_000, time.FixedZone("", -12600)),
	} {
		want, err := tt.AppendText(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := x.append(nil, tt); string(got) != string(want) {
			t.Errorf("%v is written as %s, want %s", tt, got, want)
		}
	}
}

// The first sessions are those that a sorted list of all of them begins with.
func TestTheFirstSessionsOfAnOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		g := new(fakeGateway)
		for i := range random.IntN(40) {
			g.sessions = append(g.sessions, Session{Session: fmt.Sprint(i), FromClient: Traffic{Messages: random.Uint64N(8)}})
		}
		limit := random.IntN(25)
		order := func(a, b *Session) int { return cmp.Compare(a.Messages(), b.Messages()) }
		want := slices.Clone(g.sessions)
		slices.SortStableFunc(want, func(a, b Session) int { return order(&a, &b) })
		if limit > 0 {
			want = want[:min(limit, len(want))]
		}
		if got := (&Server{gateway: g}).firstSessions(new(filter), order, limit); !slices.Equal(got, want) {
			t.Fatalf("the first %d of %d sessions are %v, want %v", limit, len(g.sessions), got, want)
		}
	}
}
