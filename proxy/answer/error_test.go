package answer

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sluice/internal/header"
	"sluice/internal/message"
)

func TestErrorFollowsAccept(t *testing.T) {
	tests := []struct {
		name   string
		accept []string
		want   string
	}{
		{name: "none", want: typeText},
		{name: "empty", accept: []string{""}, want: typeText},
		{name: "anything", accept: []string{"*/*"}, want: typeText},
		{name: "a browser", accept: []string{"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}, want: typeHTML},
		{name: "JSON", accept: []string{"application/json"}, want: typeJSON},
		{name: "problem details", accept: []string{"application/problem+json, */*"}, want: typeJSON},
		{name: "JSON before a page", accept: []string{"text/html;q=0.5, application/json"}, want: typeJSON},
		{name: "first of equals", accept: []string{"application/json, text/html"}, want: typeJSON},
		{name: "two lines", accept: []string{"text/plain;q=0.1", "text/html"}, want: typeHTML},
		{name: "refused type", accept: []string{"text/html;q=0"}, want: typeText},
		{name: "capitals", accept: []string{"TEXT/HTML"}, want: typeHTML},
		{name: "malformed quality", accept: []string{"text/html;q=high, application/json;q=0.1"}, want: typeJSON},
		{name: "malformed", accept: []string{";;,/,text/html;q"}, want: typeText},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			(*Pages)(nil).Error(w, &message.Request{Method: "GET", Header: header.FromHTTP(http.Header{"Accept": tt.accept})}, 502, "", "")
			if got := w.Header().Get("Content-Type"); got != tt.want {
				t.Errorf("Accept %q gives %q, want %q", tt.accept, got, tt.want)
			}
		})
	}
}

func TestErrorBodies(t *testing.T) {
	const id, detail = "01J<b>", `Backend "chat" & co. did not answer.`
	tests := []struct {
		name, accept string
		id, detail   string
		want         string // the whole body, or a part of a page
	}{
		{name: "text", id: id, detail: detail, want: "502 Bad Gateway\n" + detail + "\nRequest: " + id + "\n"},
		{name: "text without detail", want: "502 Bad Gateway\n"},
		{name: "JSON without detail", accept: "application/json", want: `{"title":"Bad Gateway","status":502}` + "\n"},
		{name: "page", accept: "text/html", id: id, detail: detail, want: "<h1>502 Bad Gateway</h1>\n" +
			"<p>Backend &#34;chat&#34; &amp; co. did not answer.</p>\n<p><small>Request: <code>01J&lt;b&gt;</code></small></p>\n"},
		{name: "page without detail", accept: "text/html", want: "<title>502 Bad Gateway</title>\n<h1>502 Bad Gateway</h1>\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			r := &message.Request{Method: "GET", Header: header.FromHTTP(http.Header{"Accept": {tt.accept}})}
			(*Pages)(nil).Error(w, r, http.StatusBadGateway, tt.id, tt.detail)
			if w.Code != 502 || !strings.HasSuffix(w.Body.String(), tt.want) {
				t.Errorf("got %d %q, want %q", w.Code, w.Body, tt.want)
			}
			if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("headers are %v", w.Header())
			}
		})
	}
	t.Run("JSON", func(t *testing.T) {
		w := httptest.NewRecorder()
		(*Pages)(nil).Error(w, &message.Request{Method: "GET", Header: header.FromHTTP(http.Header{"Accept": {"application/json"}})}, 502, id, detail)
		var got problem
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got != (problem{"Bad Gateway", 502, detail, id}) {
			t.Errorf("%q is %+v, %v", w.Body, got, err)
		}
	})
}

func TestErrorToHEADHasNoBody(t *testing.T) {
	w := httptest.NewRecorder()
	(*Pages)(nil).Error(w, &message.Request{Method: "HEAD", Header: header.FromHTTP(http.Header{})}, 404, "", "")
	if w.Body.Len() > 0 || w.Header().Get("Content-Length") != "14" {
		t.Errorf("got %q, %v", w.Body, w.Header())
	}
}

func TestErrorKeepsHeadersAndTakesAnyStatus(t *testing.T) {
	for _, status := range []int{400, 403, 404, 405, 413, 414, 426, 429, 431, 502, 503, 504, 599} {
		w := httptest.NewRecorder()
		w.Header().Set("Retry-After", "5")
		(*Pages)(nil).Error(w, &message.Request{Method: "GET", Header: header.FromHTTP(http.Header{})}, status, "", "")
		if w.Code != status || w.Header().Get("Retry-After") != "5" || len(strings.TrimSpace(w.Body.String())) < 5 {
			t.Errorf("Error(%d) = %d %v %q", status, w.Code, w.Header(), w.Body)
		}
	}
}
