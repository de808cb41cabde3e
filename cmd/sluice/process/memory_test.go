package process

import (
	"io/fs"
	"math"
	"path"
	"runtime/debug"
	"strings"
	"testing"
	"testing/fstest"
)

func TestSetMemoryLimit(t *testing.T) {
	const none = math.MaxInt64
	const two = "MemTotal:       2048 kB\nMemFree:        17 kB\n"
	tests := []struct {
		name, environment, group, machine string
		limit, set                        int64
		of                                string
	}{
		{"of the group", "", "1048576", two, 1<<20 - 1<<20/10, 1<<20 - 1<<20/10, "the control group"},
		{"of the machine, without a group's", "", "max", two, 2<<20 - 2<<20/10, 2<<20 - 2<<20/10, "the machine"},
		{"of the machine, which has less", "", "1073741824", two, 2<<20 - 2<<20/10, 2<<20 - 2<<20/10, "the machine"},
		{"a system that does not tell", "", "max", "", 0, none, ""},
		{"what is no number", "", "max", "MemTotal: much kB\n", 0, none, ""},
		{"GOMEMLIMIT goes first", "1GiB", "1048576", two, 0, none, ""},
		{"GOMEMLIMIT is off", "off", "1048576", two, 0, none, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("GOMEMLIMIT", tt.environment)
			before := debug.SetMemoryLimit(none)
			limit, of := setMemoryLimit(fstest.MapFS{
				"proc/self/cgroup":         {Data: []byte("0::/\n")},
				"sys/fs/cgroup/memory.max": {Data: []byte(tt.group)},
				"proc/meminfo":             {Data: []byte(tt.machine)},
			})
			if set := debug.SetMemoryLimit(before); limit != tt.limit || set != tt.set || of != tt.of {
				t.Errorf("setMemoryLimit = %d of %q, and the limit is %d; want %d of %q and %d", limit, of, set, tt.limit, tt.of, tt.set)
			}
		})
	}
}

func TestGroupMemory(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"no control groups", nil, 0},
		{"version 2", map[string]string{
			"proc/self/cgroup":              "0::/app\n",
			"sys/fs/cgroup/app/memory.max":  "1048576\n",
			"sys/fs/cgroup/else/memory.max": "7\n",
		}, 1 << 20},
		{"in a container", map[string]string{
			"proc/self/cgroup":         "0::/\n",
			"sys/fs/cgroup/memory.max": "1048576\n",
		}, 1 << 20},
		{"in a container, seen from its host", map[string]string{
			"proc/self/cgroup":         "0::/../../system.slice/docker-1.scope\n",
			"sys/fs/cgroup/memory.max": "1048576\n",
		}, 1 << 20},
		{"no limit", map[string]string{
			"proc/self/cgroup":             "0::/app\n",
			"sys/fs/cgroup/app/memory.max": "max\n",
		}, 0},
		{"the lowest above counts", map[string]string{
			"proc/self/cgroup":                 "0::/a/b/c\n",
			"sys/fs/cgroup/a/b/c/memory.max":   "max\n",
			"sys/fs/cgroup/a/b/memory.max":     "3000\n",
			"sys/fs/cgroup/a/memory.max":       "2000\n",
			"sys/fs/cgroup/a/b/c/d/memory.max": "1000\n",
		}, 2000},
		{"the lowest below counts", map[string]string{
			"proc/self/cgroup":             "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max": "2000\n",
			"sys/fs/cgroup/a/memory.max":   "3000\n",
		}, 2000},
		{"version 1", map[string]string{
			"proc/self/cgroup": "12:cpu,cpuacct:/x\n5:hugetlb,memory:/app:1\n1:name=systemd:/x\n",
			"sys/fs/cgroup/memory/app:1/memory.limit_in_bytes": "4096\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":       "9223372036854771712\n",
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes":     "7\n",
		}, 4096},
		{"version 1 without a limit", map[string]string{
			"proc/self/cgroup":                           "5:memory:/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 0},
		{"both versions", map[string]string{
			"proc/self/cgroup": "5:memory:/app\n0::/app\n",
			"sys/fs/cgroup/memory/app/memory.limit_in_bytes": "4096\n",
			"sys/fs/cgroup/app/memory.max":                   "8192\n",
		}, 4096},
		{"another controller", map[string]string{
			"proc/self/cgroup":                           "5:cpu:/\n6:memory2:/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "4096\n",
			"sys/fs/cgroup/memory.max":                   "4096\n",
		}, 0},
		{"what is no number", map[string]string{
			"proc/self/cgroup":             "0::/a/b\n\n:\n0\n",
			"sys/fs/cgroup/a/b/memory.max": "-5\n",
			"sys/fs/cgroup/a/memory.max":   "0\n",
			"sys/fs/cgroup/memory.max":     "1e9\n",
		}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files := fstest.MapFS{}
			for name, text := range tt.files {
				files[name] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := groupMemory(files); got != tt.want {
				t.Errorf("groupMemory = %d; want %d", got, tt.want)
			}
		})
	}
}

// group is a file system in which all groups have the same limit.
type group struct {
	t             *testing.T
	groups, limit string
}

func (g group) Open(name string) (fs.File, error) {
	if name != "proc/self/cgroup" && !strings.HasPrefix(path.Clean(name), "sys/fs/cgroup/") {
		g.t.Fatalf("%q is opened", name)
	}
	if !fs.ValidPath(name) { // not UTF-8
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	text := g.limit
	if name == "proc/self/cgroup" {
		text = g.groups
	}
	return fstest.MapFS{"f": &fstest.MapFile{Data: []byte(text)}}.Open("f")
}

// For any groups, only files of groups are read, and the result is a limit that
// one of them has.
func FuzzGroupMemory(f *testing.F) {
	f.Add("0::/a/b\n", "4096\n")
	f.Add("5:cpu,memory:/../..//a:\n0::\n:\n", "max")
	f.Fuzz(func(t *testing.T, groups, limit string) {
		if len(groups) > 4096 { // path.Dir takes time in proportion to the length
			return
		}
		alone := groupMemory(group{t, "0::/", limit})
		if got := groupMemory(group{t, groups, limit}); got != 0 && got != alone {
			t.Errorf("groupMemory of %q with the limit %q = %d; want 0 or %d", groups, limit, got, alone)
		}
	})
}
