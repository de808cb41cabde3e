package upgrade

import (
	"errors"
	"net/http"
	"testing"

	"sluice/internal/header"
)

func TestDeflateOffers(t *testing.T) {
	tests := []struct {
		name   string
		values []string
		want   string
		bad    bool
	}{
		{name: "none"},
		{name: "plain", values: []string{"permessage-deflate"}, want: "permessage-deflate"},
		{name: "as browsers send it", values: []string{"permessage-deflate; client_max_window_bits"}, want: "permessage-deflate; client_max_window_bits"},
		{name: "every parameter", values: []string{"permessage-deflate;server_no_context_takeover ; client_no_context_takeover;server_max_window_bits = 8; client_max_window_bits=15"},
			want: "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=8; client_max_window_bits=15"},
		{name: "several offers keep their order", values: []string{"permessage-deflate; server_max_window_bits=10, permessage-deflate"},
			want: "permessage-deflate; server_max_window_bits=10, permessage-deflate"},
		{name: "several lines are one list", values: []string{"permessage-deflate; client_no_context_takeover", "permessage-deflate"},
			want: "permessage-deflate; client_no_context_takeover, permessage-deflate"},
		{name: "other extensions are dropped", values: []string{`x-webkit-deflate-frame, permessage-deflate, foo; bar=baz; q="x"`}, want: "permessage-deflate"},
		{name: "empty elements are ignored", values: []string{"", " ,, permessage-deflate,", ","}, want: "permessage-deflate"},
		{name: "quoted value", values: []string{`permessage-deflate; server_max_window_bits="10"`}, want: "permessage-deflate; server_max_window_bits=10"},
		{name: "quoted value with an escape", values: []string{`permessage-deflate; server_max_window_bits="1\0"`}, want: "permessage-deflate; server_max_window_bits=10"},

		// RFC 7692, section 7.1: such an offer is declined.
		{name: "unknown parameter", values: []string{"permessage-deflate; foo"}},
		{name: "flag with a value", values: []string{"permessage-deflate; server_no_context_takeover=1"}},
		{name: "parameter twice", values: []string{"permessage-deflate; client_no_context_takeover; client_no_context_takeover"}},
		{name: "parameter twice with different values", values: []string{"permessage-deflate; server_max_window_bits=10; server_max_window_bits=12"}},
		{name: "server bits without a value", values: []string{"permessage-deflate; server_max_window_bits"}},
		{name: "bits below 8", values: []string{"permessage-deflate; server_max_window_bits=7"}},
		{name: "bits above 15", values: []string{"permessage-deflate; client_max_window_bits=16"}},
		{name: "bits with a leading zero", values: []string{"permessage-deflate; client_max_window_bits=08"}},
		{name: "bits with a sign", values: []string{"permessage-deflate; client_max_window_bits=+9"}},
		{name: "a bad offer beside a good one", values: []string{"permessage-deflate; foo, permessage-deflate"}, want: "permessage-deflate"},
		{name: "other case is another extension", values: []string{"Permessage-Deflate"}},

		// RFC 6455, section 9.1: not a list of extensions.
		{name: "two words", values: []string{"permessage-deflate foo"}, bad: true},
		{name: "words after a value", values: []string{"permessage-deflate; server_max_window_bits=10 foo"}, bad: true},
		{name: "parameter without an extension", values: []string{"; client_max_window_bits"}, bad: true},
		{name: "empty parameter", values: []string{"permessage-deflate;"}, bad: true},
		{name: "empty value", values: []string{"permessage-deflate; client_max_window_bits="}, bad: true},
		{name: "empty quoted value", values: []string{`permessage-deflate; client_max_window_bits=""`}, bad: true},
		{name: "open quote", values: []string{`permessage-deflate; x="`}, bad: true},
		{name: "a single quote", values: []string{`foo; x=" `}, bad: true},
		{name: "escape without a byte", values: []string{`foo; x="a\"`}, bad: true},
		{name: "separator inside quotes", values: []string{`foo; x="1, permessage-deflate"`}, bad: true},
		{name: "line break inside quotes", values: []string{"foo; x=\"1\r\nX-Evil: 1\""}, bad: true},
		{name: "comment", values: []string{"permessage-deflate (really)"}, bad: true},
		{name: "one bad line among good ones", values: []string{"permessage-deflate", "a b"}, bad: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := deflateOffers(tt.values); got != tt.want || ok == tt.bad {
				t.Errorf("deflateOffers(%q) = %q, %v; want %q, %v", tt.values, got, ok, tt.want, !tt.bad)
			}
		})
	}
}

func TestDeflateAnswer(t *testing.T) {
	const all = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12; client_max_window_bits=12"
	tests := []struct {
		name, offers string
		answer       []string
		want         string
		noTakeover   bool
		none         bool // an answer without an extension; otherwise an empty want means that the answer is not allowed
	}{
		{name: "plain", offers: "permessage-deflate", answer: []string{"permessage-deflate"}, want: "permessage-deflate"},
		{name: "not offered", answer: []string{"permessage-deflate"}},
		{name: "another extension", offers: "permessage-deflate", answer: []string{"x-webkit-deflate-frame"}},
		{name: "one more extension", offers: "permessage-deflate", answer: []string{"permessage-deflate, foo"}},
		{name: "accepted twice", offers: "permessage-deflate, permessage-deflate", answer: []string{"permessage-deflate", "permessage-deflate"}},
		{name: "no header", offers: "permessage-deflate", none: true},
		{name: "nothing", offers: "permessage-deflate", answer: []string{""}, none: true},
		{name: "an empty list", offers: "permessage-deflate", answer: []string{" , ", "\t"}, none: true},
		{name: "nothing accepted, nothing offered", answer: []string{""}, none: true},
		{name: "malformed", offers: "permessage-deflate", answer: []string{"permessage-deflate foo"}},
		{name: "canonical for the client", offers: "permessage-deflate", answer: []string{`permessage-deflate;server_max_window_bits="10",`}, want: "permessage-deflate; server_max_window_bits=10"},
		{name: "flags that the server may add", offers: "permessage-deflate", answer: []string{"permessage-deflate; client_no_context_takeover; server_no_context_takeover"},
			want: "permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
		{name: "client bits that were not offered", offers: "permessage-deflate", answer: []string{"permessage-deflate; client_max_window_bits=10"}},
		{name: "client bits that were offered", offers: "permessage-deflate; client_max_window_bits", answer: []string{"permessage-deflate; client_max_window_bits=15"}, want: "permessage-deflate; client_max_window_bits=15"},
		{name: "client bits without a value", offers: "permessage-deflate; client_max_window_bits", answer: []string{"permessage-deflate; client_max_window_bits"}},
		{name: "client bits above the hint", offers: "permessage-deflate; client_max_window_bits=10", answer: []string{"permessage-deflate; client_max_window_bits=11"}},
		{name: "client bits at the hint", offers: "permessage-deflate; client_max_window_bits=10", answer: []string{"permessage-deflate; client_max_window_bits=10"}, want: "permessage-deflate; client_max_window_bits=10"},
		{name: "hint ignored", offers: "permessage-deflate; client_max_window_bits=10", answer: []string{"permessage-deflate"}, want: "permessage-deflate"},
		{name: "server_no_context_takeover left out", offers: "permessage-deflate; server_no_context_takeover", answer: []string{"permessage-deflate"}},
		{name: "server bits left out", offers: "permessage-deflate; server_max_window_bits=10", answer: []string{"permessage-deflate"}},
		{name: "server bits above", offers: "permessage-deflate; server_max_window_bits=10", answer: []string{"permessage-deflate; server_max_window_bits=11"}},
		{name: "server bits below", offers: "permessage-deflate; server_max_window_bits=10", answer: []string{"permessage-deflate; server_max_window_bits=9"}, want: "permessage-deflate; server_max_window_bits=9"},
		{name: "second offer", offers: "permessage-deflate; server_max_window_bits=10, permessage-deflate", answer: []string{"permessage-deflate"}, want: "permessage-deflate"},
		{name: "everything", offers: all, answer: []string{all}, want: all},
		{name: "parameter twice", offers: "permessage-deflate", answer: []string{"permessage-deflate; server_max_window_bits=9; server_max_window_bits=10"}},
		{name: "unknown parameter", offers: "permessage-deflate", answer: []string{"permessage-deflate; foo"}},
		{name: "a hint of the gateway that the backend follows", noTakeover: true, offers: "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
			answer: []string{"permessage-deflate; server_no_context_takeover; client_no_context_takeover"}, want: "permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
		{name: "a hint of the gateway that the backend leaves out", noTakeover: true, offers: "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
			answer: []string{"permessage-deflate; server_no_context_takeover"}, want: "permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
		{name: "a backend that declines an offer without takeover", noTakeover: true, offers: "permessage-deflate; server_no_context_takeover; client_no_context_takeover", answer: []string{""}, none: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := deflateAnswer(tt.answer, tt.offers, tt.noTakeover); got != tt.want || ok != (tt.want != "" || tt.none) {
				t.Errorf("deflateAnswer(%q, %q) = %q, %v; want %q", tt.answer, tt.offers, got, ok, tt.want)
			}
		})
	}
}

func TestNoTakeover(t *testing.T) {
	for extensions, want := range map[string][2]bool{ // of the client, of the backend
		"": {}, "permessage-deflate; server_max_window_bits=10": {},
		"permessage-deflate; client_no_context_takeover":                             {true, false},
		"permessage-deflate; server_no_context_takeover; client_max_window_bits=12":  {false, true},
		"permessage-deflate; server_no_context_takeover; client_no_context_takeover": {true, true},
	} {
		a := Answer{Extensions: extensions}
		if client, backend := a.NoTakeover(); [2]bool{client, backend} != want {
			t.Errorf("NoTakeover of %q = %t, %t; want %t, %t", extensions, client, backend, want[0], want[1])
		}
	}
}

// An answer that the client's own offer allows is told apart from one that nobody has offered.
func TestAnAnswerThatIgnoresWhatTheGatewayAsksFor(t *testing.T) {
	const name = "Sec-WebSocket-Extensions"
	tests := []struct {
		name, offers, answer string
		ignored              bool // else it is the backend's fault
	}{
		{name: "ignored", offers: "permessage-deflate", answer: "permessage-deflate", ignored: true},
		{name: "ignored, with a window", offers: "permessage-deflate; client_max_window_bits", answer: "permessage-deflate; client_max_window_bits=12", ignored: true},
		{name: "half ignored", offers: "permessage-deflate", answer: "permessage-deflate; client_no_context_takeover", ignored: true},
		{name: "the client asks for it too", offers: "permessage-deflate; server_no_context_takeover", answer: "permessage-deflate"},
		{name: "a window that was not offered", offers: "permessage-deflate", answer: "permessage-deflate; client_max_window_bits=12"},
		{name: "nothing was offered", answer: "permessage-deflate"},
		{name: "malformed", offers: "permessage-deflate", answer: "permessage-deflate;"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := Request{Extensions: tt.offers}
			if refusal := (&Policy{NoTakeover: true}).Apply(&q, Site{}); refusal != nil {
				t.Fatal(refusal)
			}
			if a, err := q.accepted(header.FromHTTP(http.Header{name: {tt.answer}})); err == nil || errors.Is(err, ErrIgnored) != tt.ignored {
				t.Errorf("accepted(%q) of the offer %q = %+v, %v; want an error, %v: %t", tt.answer, tt.offers, a, err, ErrIgnored, tt.ignored)
			}
		})
	}
}
