// Command cordon collects flow records from IPFIX exporters, keeps them in
// ClickHouse and recommends minimal allow rules for microsegmentation.
//
// This package is the only place that knows every part: it reads the
// configuration, decides whether NATS and ClickHouse are embedded or
// external, wires the parts together and prints their results.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"cordon/internal/chdb"
)

// version is set by the build.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	if err := chdb.MoveStdin(); err != nil {
		fmt.Fprintln(os.Stderr, "cordon:", err)
		os.Exit(1)
	}
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is cordon with everything that the process gives it as arguments. It
// returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	root := a.rootCommand()
	root.SetArgs(joinNumbers(root, args))
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	return a.report(ctx, err)
}
