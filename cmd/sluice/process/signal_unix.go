//go:build unix

package process

import (
	"os"
	"os/signal"
	"syscall"
)

// notifyStatus makes c receive SIGUSR1, which asks for a status in the log.
func notifyStatus(c chan<- os.Signal) { signal.Notify(c, syscall.SIGUSR1) }
