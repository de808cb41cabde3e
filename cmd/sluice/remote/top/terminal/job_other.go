//go:build !unix

package terminal

import "os"

// Processes are not stopped and continued by a terminal here.

func notifyStops(chan<- os.Signal) {}

// AskToStop asks all processes of the job to stop.
func AskToStop() {}

func stopProcess() {}

func writeNow(string) {}
