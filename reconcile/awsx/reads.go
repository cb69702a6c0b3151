package awsx

import "sync"

// Reads runs calls side by side. Unlike an errgroup it lets all of them
// finish, and answers with the error of the first in the order in which they
// were started: the same state of AWS then costs the same calls and gives the
// same error, whoever is faster.
type Reads struct {
	wg   sync.WaitGroup
	errs []*error
}

// Go starts a call.
func (r *Reads) Go(call func() error) {
	err := new(error)
	r.errs = append(r.errs, err)
	r.wg.Go(func() { *err = Guard(call) })
}

// Wait waits for all calls.
func (r *Reads) Wait() error {
	r.wg.Wait()
	for _, err := range r.errs {
		if *err != nil {
			return *err
		}
	}
	return nil
}
