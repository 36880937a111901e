package container

import (
	"fmt"
	"testing"
)

// BenchmarkTrue measures a container's whole life, and `docker run --rm` of
// the same on the same engine.
func BenchmarkTrue(b *testing.B) {
	at := newBench(b)
	changes := watch(b, at.Engine, at.home)
	n := 0
	b.Run("runner", func(b *testing.B) {
		for b.Loop() {
			n++
			s := at.spec(fmt.Sprint("bench", n), "true")
			s.Command = []string{"true"}
			id, err := at.Run(b.Context(), s)
			if err != nil {
				b.Fatal(err)
			}
			for {
				expect(b, changes, s.Mark)
				if states, err := at.Observe(b.Context(), at.home, s.Mark); err != nil {
					b.Fatal(err)
				} else if states[0].Phase == Exited {
					break
				}
			}
			if err := at.Remove(b.Context(), id); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("docker", func(b *testing.B) {
		for b.Loop() {
			if out, err := at.docker.Command(b.Context(), "run", "--rm", at.docker.Small, "true").CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
		}
	})
}
