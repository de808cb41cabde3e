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

// setMemoryLimit sets the memory limit of the garbage collector to nine tenths of
// what the control group allows the process, or of what the machine has. The rest
// is for memory that the runtime does not count. It does nothing when GOMEMLIMIT
// is set. Root is the root of the file system. It returns the limit in bytes, 0
// when it set none, and of what it is nine tenths.
func setMemoryLimit(root fs.FS) (bytes int64, of string) {
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

// machineMemory returns how many bytes of memory the machine has, 0 when the
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

// groupMemory returns how many bytes of memory the control group of the process
// (version 2 or 1) and the groups above it allow: the least of their limits, 0
// when there is none. A limit that cannot be read counts as none.
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
	// Version 1 writes a very large number when there is no limit.
	const none = 1 << 60
	if least >= none {
		return 0
	}
	return least
}

// leastOf returns the least number in the files of this name in the directory of
// a group and in those above it, up to mount; math.MaxInt64 when there is none. In
// a container the path of the group may exist on the host only; its files are
// then those in mount.
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
