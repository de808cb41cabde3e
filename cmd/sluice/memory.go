package main

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// limitMemory gives the garbage collector nine tenths of what the control group
// allows the process, or of what the machine has, unless GOMEMLIMIT says
// otherwise. The rest is for what the runtime does not count. Root is the root
// of the file system. It returns the limit and whose it is, 0 when none was set.
func limitMemory(root fs.FS) (bytes int64, of string) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return 0, ""
	}
	allowed, of := groupMemory(root), "the control group"
	if machine := machineMemory(root); allowed == 0 || machine != 0 && machine < allowed {
		allowed, of = machine, "the machine"
	}
	if allowed == 0 {
		return 0, ""
	}
	bytes = allowed - allowed/10
	debug.SetMemoryLimit(bytes)
	return bytes, of
}

// machineMemory returns how many bytes of memory the machine has, 0 where the
// system does not tell.
func machineMemory(root fs.FS) (bytes int64) {
	text, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 53)
			if err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}

// groupMemory returns how many bytes the control group of the process, of
// version 2 or 1, and those around it allow it: the least of them, 0 for any
// number. What cannot be read is no limit.
func groupMemory(root fs.FS) (bytes int64) {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	least := int64(math.MaxInt64)
	for line := range strings.Lines(string(groups)) {
		// hierarchy:controllers:path; version 2 is hierarchy 0, without controllers.
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		controllers, group, _ := strings.Cut(rest, ":")
		switch {
		case controllers == "":
			least = min(least, leastOf(root, "sys/fs/cgroup", group, "memory.max"))
		case strings.Contains(","+controllers+",", ",memory,"):
			least = min(least, leastOf(root, "sys/fs/cgroup/memory", group, "memory.limit_in_bytes"))
		}
	}
	// Version 1 has its largest number for no limit.
	const none = 1 << 60
	if least >= none {
		return 0
	}
	return least
}

// leastOf returns the least number in the files of that name in the directory of
// a group and those above it, up to mount. In a container the group may be one
// that only its host sees; its files are then those of mount.
func leastOf(root fs.FS, mount, group, file string) (least int64) {
	least = math.MaxInt64
	for group = path.Clean("/" + group); ; group = path.Dir(group) {
		text, err := fs.ReadFile(root, path.Join(mount, group, file))
		if n, wrong := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && wrong == nil && n > 0 {
			least = min(least, n)
		}
		if group == "/" {
			return least
		}
	}
}
