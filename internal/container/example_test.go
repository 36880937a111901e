package container_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/runnerml/runner/internal/container"
	"github.com/runnerml/runner/internal/host"
)

// An attempt's container from its image to its removal.
func Example() { //nolint:testableexamples // it needs an engine
	ctx := context.Background()
	engine, err := container.Open(ctx, host.NewHere("/srv/runner"), container.Options{})
	if err != nil {
		fmt.Println(err) // an *Error of kind NoEngine, PermissionDenied ..., with a Hint
		return
	}
	defer func() { _ = engine.Close() }()

	image, err := engine.Pull(ctx, "python:3.12-slim", nil, func(p container.Progress) {
		fmt.Fprintf(os.Stderr, "%d of %d bytes\n", p.Done, p.Total)
	})
	if err != nil {
		return
	}
	mark := container.Mark{Run: "iris-01jd8k3v9q", Attempt: 1, Home: "installation"}
	id, err := engine.Run(ctx, container.Spec{ // the same mark again finds the same container
		Mark: mark, Image: image.ID, Command: []string{"/.runner/bin/runner", "supervise"}, Dir: "/work",
		UID: os.Getuid(), GID: os.Getgid(),
		Binds:  []container.Bind{{Source: "/srv/runner/bin/runner", Target: "/.runner/bin/runner", ReadOnly: true}},
		Memory: 4 << 30, CPUs: 2, GPUs: []container.GPU{{ID: "GPU-8e9a"}},
	})
	if err != nil {
		return
	}
	states, err := engine.Observe(ctx, mark.Home, mark)
	if container.KindOf(err) == container.Unreachable {
		return // unknown, never ended
	}
	fmt.Println(states)
	_ = engine.Stop(ctx, id, 40*time.Second)
	_ = engine.Remove(ctx, id)
}
