package cli

var (
	NewRoot  = newRoot
	HelpText = helpText
)
