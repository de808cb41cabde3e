package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"sluice/config"
	"sluice/internal/httpsyntax"
	"sluice/proxy/explain"
)

func explainCommand() *cobra.Command {
	var path, origin string
	var headers []string
	var q explain.Question
	c := &cobra.Command{
		Use:   "explain URL",
		Short: "Tell which route takes a request, what it does, and why the others do not",
		Example: "  sluice explain https://chat.example.com/ws/room --websocket --origin https://example.com\n" +
			"  sluice explain http://localhost/api --method POST --header 'X-Canary: yes'",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("explain takes one URL, as in https://host/path, and was given %d", len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := load(path)
			if err != nil {
				return err
			}
			if err := complete(&q, args[0], origin, headers); err != nil {
				return err
			}
			e, err := explain.Ask(cfg, q)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			printExplanation(c.OutOrStdout(), cfg, &q, e)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&q.Method, "method", http.MethodGet, "`method` of the request")
	f.StringVar(&origin, "origin", "", "`origin` of the page that connects, as in https://example.com")
	f.StringArrayVarP(&headers, "header", "H", nil, "`header` of the request, as 'Name: value' (repeatable)")
	f.BoolVar(&q.WebSocket, "websocket", false, "ask about a WebSocket handshake (implied by ws: and wss: URLs)")
	return configFlag(c, &path)
}

// complete completes a question with what the command line says.
func complete(q *explain.Question, target, origin string, headers []string) error {
	u, err := url.Parse(target)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok { // which repeats the target
			err = e.Err
		}
		return fmt.Errorf("%q is not a URL: %w: write it as https://host/path", target, err)
	}
	switch u.Scheme {
	case "ws", "wss":
		q.WebSocket = true
	case "http", "https":
	default:
		return fmt.Errorf("%q is not a URL with http, https, ws or wss: write it as https://host/path", target)
	}
	if u.Host == "" {
		return fmt.Errorf("%q has no host: write it as https://host/path", target)
	}
	switch {
	case !httpsyntax.IsToken(q.Method):
		return fmt.Errorf("--method %q is not a method, as in GET", q.Method)
	case q.WebSocket && q.Method != http.MethodGet:
		return fmt.Errorf("--method %s: a WebSocket handshake is a GET", q.Method)
	}
	q.URL, q.Header = u, http.Header{}
	for _, h := range headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return fmt.Errorf("--header %q has no colon: write it as 'Name: value'", h)
		}
		if name = strings.TrimSpace(name); !httpsyntax.IsToken(name) {
			return fmt.Errorf("--header %q: %q is not the name of a header", h, name)
		}
		q.Header.Add(name, strings.TrimSpace(value))
	}
	if origin != "" {
		q.Header.Set("Origin", origin)
	}
	return nil
}

// printExplanation prints which route takes the request, and why the others do not.
func printExplanation(w io.Writer, cfg *config.Config, q *explain.Question, e *explain.Answer) {
	what := q.Method + " " + q.URL.String()
	if q.WebSocket {
		what = "WebSocket handshake for " + q.URL.String()
	}
	fmt.Fprintln(w, what)
	if q.URL.Scheme == "http" || q.URL.Scheme == "ws" {
		for _, l := range cfg.Listeners {
			if l.RedirectHTTPS {
				fmt.Fprintf(w, "  listener %s (%s:%d): redirects to https before any route is asked\n", l.Address, cfg.File, l.Pos.Line)
			}
		}
	}
	if e.Route == nil {
		fmt.Fprintf(w, "  no route takes it: answered with %d %s\n", e.Status, http.StatusText(e.Status))
	}
	for _, s := range e.Steps {
		if s.Takes {
			fmt.Fprintf(w, "  route %s (%s:%d): %s\n", s.Name, cfg.File, s.Route.Pos.Line, s.Reason)
			describe(w, cfg, q, e)
		}
	}
	var others bool
	for _, s := range e.Steps {
		if s.Takes {
			continue
		}
		if !others {
			others = true
			fmt.Fprintln(w, "other routes, the most specific first:")
		}
		fmt.Fprintf(w, "  route %s (%s:%d): %s\n", s.Name, cfg.File, s.Route.Pos.Line, s.Reason)
	}
}

// describe prints what the route does.
func describe(w io.Writer, cfg *config.Config, q *explain.Question, e *explain.Answer) {
	r := e.Route
	say := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "    %-16s %s\n", name, value)
		}
	}
	switch {
	case r.Redirect != nil:
		say("redirect", fmt.Sprintf("%d to %s", r.Redirect.Status, r.Redirect.To))
		return
	case r.Respond != nil:
		say("respond", fmt.Sprintf("%d %s", r.Respond.Status, http.StatusText(r.Respond.Status)))
		return
	case r.Files != nil:
		say("files", r.Files.Root)
	default:
		if r.Backend != "" {
			say("backend", r.Backend)
			sayEndpoints(say, cfg, r.Backend)
		}
		for _, part := range r.Split {
			say("split", fmt.Sprintf("%s, weight %d", part.Backend, part.Weight))
			sayEndpoints(say, cfg, part.Backend)
		}
	}
	say("path there", e.Path)
	if !q.WebSocket || r.Backend == "" && r.Split == nil {
		return
	}
	say("origins", strings.Join(r.WebSocket.Origins, ", "))
	say("subprotocols", strings.Join(r.WebSocket.Subprotocols, ", "))
	say("compression", r.WebSocket.Compression)
	if r.Tap != nil && r.Tap.Payload {
		say("tap", "payloads, "+r.Tap.Max.Text()+" of each frame")
	}
	if r.Tap != nil && r.Tap.NoContextTakeover {
		say("takeover", "none: both sides are asked to compress each message by itself")
	}
	say("handshake", "answered within "+r.WebSocket.HandshakeTimeout.String())
	if e.Refused != "" {
		say("refused", e.Refused)
	}
}

// sayEndpoints prints the endpoints of a backend.
func sayEndpoints(say func(key, value string), cfg *config.Config, backend string) {
	for _, b := range cfg.Backends {
		if b.Name != backend {
			continue
		}
		for _, endpoint := range b.Endpoints {
			say("endpoint", endpoint.Text)
		}
	}
}
