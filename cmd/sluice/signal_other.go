//go:build !unix

package main

import "os"

// notifyStatus does nothing: the system has no SIGUSR1.
func notifyStatus(chan<- os.Signal) {}
