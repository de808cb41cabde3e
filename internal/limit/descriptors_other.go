//go:build !unix

package limit

// descriptorUse is not ok: this system does not tell.
func descriptorUse() (used, most int, ok bool) { return 0, 0, false }

// descriptorLimit is not ok: this system does not tell.
func descriptorLimit() (most int64, ok bool) { return 0, false }
