package watch

import (
	"errors"
	"io/fs"
	"sync/atomic"
	"syscall"

	"github.com/fsnotify/fsnotify"
)

// events are what the system tells of files.
type events struct {
	from   *fsnotify.Watcher
	places atomic.Pointer[places]
	happen chan struct{} // has a value when something has happened to one of the files
	done   chan struct{}
}

// newEvents returns events of nothing.
func newEvents() (*events, error) {
	from, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, explained(err)
	}
	e := &events{from: from, happen: make(chan struct{}, 1), done: make(chan struct{})}
	e.places.Store(new(places))
	go e.pass()
	return e, nil
}

// close ends the events.
func (e *events) close() {
	e.from.Close()
	<-e.done
}

// pass passes the events that matter, until close.
func (e *events) pass() {
	defer close(e.done)
	for {
		select {
		case v, ok := <-e.from.Events:
			if !ok {
				return
			}
			if e.places.Load().has(v.Name) {
				e.happened()
			}
		case _, ok := <-e.from.Errors: // some events are lost
			if !ok {
				return
			}
			e.happened()
		}
	}
}

func (e *events) happened() {
	select {
	case e.happen <- struct{}{}:
	default:
	}
}

// watch changes the places from which events come. The error is that of one that cannot be watched; those that are
// not there, or on the way to others and not to be read, are no error: what is around them is watched.
func (e *events) watch(p places) (wrong error) {
	e.places.Store(&p)
	for _, dir := range e.from.WatchList() {
		if p[dir] == nil {
			e.from.Remove(dir)
		}
	}
	for dir := range p {
		if err := e.from.Add(dir); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.ENOTDIR) {
			wrong = explained(err)
		}
	}
	return wrong
}

// explained says what to do about an error.
func explained(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return errors.New("this user watches as many files as may be watched: raise the sysctl fs.inotify.max_user_watches")
	case errors.Is(err, syscall.EMFILE):
		return errors.New("this user has as many watchers as there may be, or the process as many files: raise the sysctl fs.inotify.max_user_instances, or LimitNOFILE")
	}
	return err
}
