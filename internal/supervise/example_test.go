package supervise_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/runnerml/runner/internal/host"
	"github.com/runnerml/runner/internal/supervise"
)

// A process from its start to its end, on any host.
func ExampleKeeper() { //nolint:testableexamples // it needs an installed program
	ctx := context.Background()
	try := func(err error) {
		if err != nil {
			fmt.Println(err)
		}
	}
	here := host.NewHere("/var/lib/runner")
	defer func() { try(here.Close()) }()
	bin, err := supervise.Install(ctx, here, nil, nil)
	try(err)
	k := supervise.New(here, bin)

	dir := here.Root() + "/attempts/iris-01.1"
	_, err = k.Start(ctx, dir, supervise.Launch{
		Mark: "iris-01.1", Argv: []string{"python3", "train.py"}, Inherit: true, Dir: dir + "/work",
		MaxDuration: 2 * time.Hour, Grace: 30 * time.Second, Memory: 4 << 30,
	})
	try(err)
	log, err := k.OpenLog(ctx, dir, 0, true)
	try(err)
	_, err = io.Copy(os.Stdout, log) // until it has ended
	try(err)
	try(log.Close())
	all, err := k.Status(ctx, []string{dir})
	try(err)
	fmt.Println(all[0].Cause, all[0].ExitCode)
	try(k.Clean(ctx, dir))
}
