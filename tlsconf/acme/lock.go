package acme

import (
	"context"
	"time"
)

// lockRetry is how long lockFile waits between tries.
const lockRetry = 200 * time.Millisecond

// lockFile takes the lock that file stands for, which one process at a time can
// hold. It waits until ctx ends. The caller must call unlock once.
func lockFile(ctx context.Context, file string) (unlock func(), err error) {
	for {
		unlock, ok, err := tryLock(file)
		if ok || err != nil {
			return unlock, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(lockRetry):
		}
	}
}
