package tlsconf

import (
	"context"
	"time"
)

// lockRetry is how often a lock that another process holds is tried.
const lockRetry = 200 * time.Millisecond

// lockFile takes the lock that file stands for, in one process at a time. It
// waits for it until ctx ends.
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
