//go:build unix

package cli

import "syscall"

// nonblock makes an error of opening a pipe that nobody reads.
const nonblock = syscall.O_NONBLOCK

// noCore keeps the process from leaving a core: it would have the secrets in
// it. The limit can always be lowered.
func noCore() { _ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}) }
