//go:build !unix

package cli

// nonblock is for pipes that are files, which there are none of here.
const nonblock = 0

// noCore does nothing: a core is a thing of unix.
func noCore() {}
