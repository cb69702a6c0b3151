package awsx

import (
	"fmt"
	"path"
	"runtime"
	"strings"
)

// A PanicError is a fault of the program itself, turned into the failure of
// the one resource that it struck.
type PanicError struct {
	Value any
	Where string // file:line
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("the program itself is at fault, please report it: %v at %s", e.Value, e.Where)
}

// Guard calls do and answers with a *PanicError where it panics. A goroutine's
// panic would otherwise end the process, and with it the report of what every
// other resource has done.
func Guard(do func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Where: panicked()}
		}
	}()
	return do()
}

// panicked is the line that panicked: the first one below the runtime's own.
func panicked() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "runtime.") || !more {
			return fmt.Sprintf("%s:%d", path.Join(path.Base(path.Dir(f.File)), path.Base(f.File)), f.Line)
		}
	}
}
