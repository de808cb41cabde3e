//go:build !linux

package wstest

import "os/exec"

// DieWithParent returns cmd: only Linux can kill it when this process dies.
func DieWithParent(cmd *exec.Cmd) *exec.Cmd { return cmd }

// FollowParent does nothing: only Linux can.
func FollowParent() error { return nil }
