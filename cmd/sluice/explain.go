package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/files"
	"sluice/config"
	"sluice/internal/httpsyntax"
	"sluice/proxy/explain"
)

func explainCommand() *cobra.Command {
	var file files.Choice
	var origin string
	var headers []string
	var q explain.Question
	c := &cobra.Command{
		Use:   "explain [FILE] URL",
		Short: "Tell which route takes a request, what it does, and why the others do not",
		Long: "Tell which route takes a request, what it does, and why the others do not.\n\n" +
			"It exits with 1 where no route takes the request, and where its route refuses it.",
		Example: "  sluice explain https://chat.example.com/ws/room --websocket --origin https://example.com\n" +
			"  sluice explain sluice.yaml http://localhost/api --method POST --header 'X-Canary: yes'",
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0, len(args) > 2:
				return fmt.Errorf("explain takes a URL, as in https://host/path, or a file and a URL, and was given %d arguments", len(args))
			case len(args) == 2 && strings.Contains(args[0], "://"):
				return fmt.Errorf("explain takes the file first: sluice explain %s %s", args[1], args[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			target := args[len(args)-1]
			if err := complete(&q, target, origin, headers); err != nil {
				return err
			}
			path, err := file.Choose(args[:len(args)-1]...)
			if err != nil {
				return err
			}
			cfg, err := load(path)
			if err != nil {
				return err
			}
			e, err := explain.Ask(cfg, q)
			if err != nil {
				return fmt.Errorf("%s: %w", target, err)
			}
			printExplanation(c.OutOrStdout(), cfg, &q, e)
			switch {
			case e.Route == nil:
				return errors.New("no route takes it")
			case e.Refused != "":
				return errors.New("its route refuses it")
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&q.Method, "method", http.MethodGet, "`method` of the request")
	f.StringVar(&origin, "origin", "", "`origin` of the page that connects, as in https://example.com")
	f.StringArrayVarP(&headers, "header", "H", nil, "`header` of the request, as 'Name: value' (repeatable)")
	f.BoolVar(&q.WebSocket, "websocket", false, "ask about a WebSocket handshake (implied by ws: and wss: URLs)")
	return file.Add(c)
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
				fmt.Fprintf(w, "  listener %s (%s): redirects to https before any route is asked\n", l.Address, cfg.Where(l.Pos))
			}
		}
	}
	if e.Route == nil {
		fmt.Fprintf(w, "  no route takes it: answered with %d %s\n", e.Status, http.StatusText(e.Status))
	}
	for _, s := range e.Steps {
		if s.Takes {
			fmt.Fprintf(w, "  route %s (%s): %s\n", s.Name, cfg.Where(s.Route.Pos), s.Reason)
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
		fmt.Fprintf(w, "  route %s (%s): %s\n", s.Name, cfg.Where(s.Route.Pos), s.Reason)
	}
}

// describe prints what the route does.
func describe(w io.Writer, cfg *config.Config, q *explain.Question, e *explain.Answer) {
	r := e.Route
	say := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "    %-30s %s\n", name, value)
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
		if r.Files == nil {
			sayInForce(say, cfg, r, "timeouts", "max_body_size")
		}
		sayInForce(say, cfg, r, "min_body_rate")
		return
	}
	if r.Tap != nil && r.Tap.Payload {
		say("tap", "payloads, "+r.Tap.Max.Text()+" of each frame")
	}
	if r.Tap != nil && r.Tap.NoContextTakeover {
		say("takeover", "none: both sides are asked to compress each message by itself")
	}
	sayInForce(say, cfg, r, "websocket")
	if e.Refused != "" {
		say("refused", fmt.Sprintf("%d %s: %s", e.Status, http.StatusText(e.Status), e.Refused))
	}
}

// sayInForce prints the values of keys of a route, those that have defaults too.
func sayInForce(say func(key, value string), cfg *config.Config, r *config.Route, keys ...string) {
	i := slices.IndexFunc(cfg.Routes, func(other config.Route) bool { return other.Index == r.Index })
	route := cfg.Show()["routes"].([]any)[i].(map[string]any)
	var show func(name string, value any)
	show = func(name string, value any) {
		switch value := value.(type) {
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(value)) {
				show(strings.TrimPrefix(name+"."+key, "websocket."), value[key])
			}
		case []any:
			var all []string
			for _, v := range value {
				all = append(all, fmt.Sprint(v))
			}
			say(name, strings.Join(all, ", "))
		default:
			say(name, fmt.Sprint(value))
		}
	}
	for _, key := range keys {
		if value, ok := route[key]; ok {
			show(key, value)
		}
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
