package admin

import (
	"fmt"
	"net/http"
	"runtime/pprof"
	"runtime/trace"
	"slices"
	"strconv"
	"strings"
	"time"
)

// mostSeconds is how long a profile may take.
const mostSeconds = 300

// profile writes a profile of the process, as 'go tool pprof' and 'go tool trace' read it.
func (s *Server) profile(c *call) (any, error) {
	if !s.access.Load().pprof {
		return nil, &failure{http.StatusForbidden, "profiles are off: 'pprof' of 'admin' is not set"}
	}
	seconds := 30
	if text, ok := c.query["seconds"]; ok {
		var err error
		if seconds, err = strconv.Atoi(text); err != nil || seconds < 1 || seconds > mostSeconds {
			return nil, wrong(fmt.Errorf("seconds %q is not a number from 1 to %d", shorten(text), mostSeconds))
		}
	}
	name := c.r.PathValue("profile")
	lookup := pprof.Lookup(name)
	if lookup == nil && name != "profile" && name != "trace" {
		return nil, &failure{http.StatusNotFound, "there is no profile " + shorten(name) + ": use one of " + strings.Join(profiles(), ", ")}
	}
	start, stop := func() error { return pprof.StartCPUProfile(c.w) }, pprof.StopCPUProfile
	switch name {
	case "profile":
	case "trace":
		start, stop = func() error { return trace.Start(c.w) }, trace.Stop
	default:
		s.gateway.Audit(Action{c.who, "profile", name, -1, nil})
		c.lasting("application/octet-stream", 0)
		return nil, lookup.WriteTo(c.w, 0)
	}
	// From the start on another goroutine writes the answer, until the end.
	c.lasting("application/octet-stream", time.Duration(seconds)*time.Second)
	if err := start(); err != nil {
		return nil, &failure{http.StatusConflict, "another profile is being taken: " + err.Error()}
	}
	defer stop()
	s.gateway.Audit(Action{c.who, "profile", name, -1, nil})
	select {
	case <-time.After(time.Duration(seconds) * time.Second):
	case <-c.r.Context().Done():
	}
	return nil, nil
}

// profiles returns the names of all profiles.
func profiles() []string {
	names := []string{"profile", "trace"}
	for _, p := range pprof.Profiles() {
		names = append(names, p.Name())
	}
	slices.Sort(names)
	return names
}
