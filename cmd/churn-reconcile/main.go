// Command churn-reconcile keeps the AWS side of an ML pipeline as a YAML file
// says.
package main

import (
	"os"

	"github.com/churn-reconcile/churn-reconcile/cmd/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], cli.OS())) }
