//go:build !unix

package process

import "os"

// notifyStatus does nothing: the system has no SIGUSR1.
func notifyStatus(chan<- os.Signal) {}
