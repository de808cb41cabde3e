//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// notifyStatus has c told when somebody asks what goes on.
func notifyStatus(c chan<- os.Signal) { signal.Notify(c, syscall.SIGUSR1) }
