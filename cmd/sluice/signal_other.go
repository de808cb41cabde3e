//go:build !unix

package main

import "os"

// notifyStatus does nothing: there is no signal to ask with.
func notifyStatus(chan<- os.Signal) {}
