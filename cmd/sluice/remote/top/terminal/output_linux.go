package terminal

import (
	"os"

	"golang.org/x/sys/unix"
)

// dropOutput drops what was written and the terminal has not taken.
func dropOutput() { unix.IoctlSetInt(int(os.Stdin.Fd()), unix.TCFLSH, unix.TCOFLUSH) }
