package main

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

var (
	tagged   = regexp.MustCompile(`^v(\d+\.\d+\.\d+)(?:-([a-z0-9.]+?))??(?:-(\d+)-(g[0-9a-f]+))?(-dirty)?$`)
	untagged = regexp.MustCompile(`^([a-z0-9]+)(-dirty)?$`)
)

// packageVersion returns the version of packages for a version of git describe. Debian and RPM put
// them in the order of the commits: 1.2.0~rc.1, 1.2.0, 1.2.0+3.g4ba9979. Without a tag the time of the
// commit makes the order, below all versions that have one.
func packageVersion(described string, commit time.Time) (string, error) {
	if m := tagged.FindStringSubmatch(described); m != nil {
		version := m[1]
		if m[2] != "" {
			version += "~" + m[2]
		}
		if m[3] != "" {
			version += "+" + m[3] + "." + m[4]
		}
		return version + strings.Replace(m[5], "-", "+", 1), nil
	}
	if m := untagged.FindStringSubmatch(described); m != nil {
		return "0.0.0~" + commit.UTC().Format("20060102150405") + "." + m[1] + strings.Replace(m[2], "-", "+", 1), nil
	}
	return "", fmt.Errorf("the version %q cannot be that of a package: name the commit as in v1.2.0 or v1.2.0-rc.1", described)
}
