package task

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
)

// Group runs named goroutines that end together: the first that fails ends the context of all of them,
// and Wait returns its error. A goroutine of the group may start others with Go; anyone else calls Go before Wait only.
type Group struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
	once   sync.Once
	err    error // written once, by the first that fails; read after wg.Wait
}

// New makes a group whose goroutines see a context derived from ctx. The end of ctx is no error of the group.
func New(ctx context.Context) *Group {
	ctx, cancel := context.WithCancelCause(ctx)
	return &Group{ctx: ctx, cancel: cancel}
}

// Context is the context of the group's goroutines. context.Cause tells why it ended: the error of the goroutine that
// failed first, the cause given to Stop, or the cause of the context given to New.
func (g *Group) Context() context.Context { return g.ctx }

// Go runs fn in a goroutine of its own. An error or a panic of fn ends the group; name stands in the error.
// The context's own end ends the group too when fn returns it as its error: a goroutine that stops because it was told
// to returns nil.
func (g *Group) Go(name string, fn func(ctx context.Context) error) {
	g.wg.Go(func() {
		if err := protect(g.ctx, name, fn); err != nil {
			g.fail(err)
		}
	})
}

// Stop ends the group's context; cause is what context.Cause then tells. It does not wait and is idempotent: the first
// cause stays.
func (g *Group) Stop(cause error) { g.cancel(cause) }

// Wait waits until every goroutine has returned and gives the first error, nil where none failed. It may be called more
// than once, and by several goroutines.
func (g *Group) Wait() error {
	g.wg.Wait()
	g.cancel(nil)
	return g.err
}

func (g *Group) fail(err error) {
	g.once.Do(func() { g.err = err })
	g.cancel(err)
}

// protect runs fn and makes a panic an error.
func protect(ctx context.Context, name string, fn func(ctx context.Context) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Name: name, Value: v, Stack: debug.Stack()}
		}
	}()
	if err := fn(ctx); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// PanicError is a panic of a goroutine as an error. It is a defect of the program: the group has ended, and nothing is
// to be retried.
type PanicError struct {
	// Name is the goroutine's name.
	Name string
	// Value is what was given to panic.
	Value any
	// Stack is the goroutine's stack at the panic.
	Stack []byte
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("task: panic in %s: %v\n%s", e.Name, e.Value, e.Stack)
}

// Unwrap gives the value of the panic where that is an error, else nil.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
