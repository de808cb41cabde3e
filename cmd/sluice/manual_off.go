//go:build !manual

package main

import "github.com/spf13/cobra"

// extraCommands returns none: see manual.go.
func extraCommands() []*cobra.Command { return nil }
