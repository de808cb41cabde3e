//go:build !unix

package config

import "io/fs"

// writableByOthers says nothing: permissions are no bits here.
func writableByOthers(fs.FileInfo) string { return "" }
