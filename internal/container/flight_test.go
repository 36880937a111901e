package container

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestFlights(t *testing.T) {
	t.Run("one piece of work for all, and all are told", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var f flights[int]
			runs := 0
			told := make([][]any, 3)
			var all sync.WaitGroup
			for n := range told {
				all.Go(func() {
					got, err := f.do(t.Context(), "key", func(what any) { told[n] = append(told[n], what) },
						func(_ context.Context, tell func(any)) (int, error) {
							runs++
							time.Sleep(time.Second)
							tell("half")
							time.Sleep(time.Second)
							return 7, nil
						})
					if got != 7 || err != nil {
						t.Errorf("got %d, %v; want 7", got, err)
					}
				})
			}
			all.Wait()
			if runs != 1 {
				t.Errorf("worked %d times, want once", runs)
			}
			for n := range told {
				if !slices.Equal(told[n], []any{"half"}) {
					t.Errorf("waiter %d was told %v", n, told[n])
				}
			}
		})
	})
	t.Run("the work outlives a waiter who leaves", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var f flights[int]
			work := func(ctx context.Context, _ func(any)) (int, error) {
				select {
				case <-time.After(time.Minute):
					return 7, nil
				case <-ctx.Done():
					return 0, ctx.Err()
				}
			}
			var all sync.WaitGroup
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if _, err := f.do(ctx, "key", func(any) {}, work); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("who left got %v", err)
				}
			})
			all.Go(func() {
				if got, err := f.do(t.Context(), "key", func(any) {}, work); got != 7 || err != nil {
					t.Errorf("who stayed got %d, %v; want 7", got, err)
				}
			})
			all.Wait()
		})
	})
	t.Run("the work ends with its last waiter", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var f flights[int]
			ended := false
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := f.do(ctx, "key", func(any) {}, func(ctx context.Context, _ func(any)) (int, error) {
				<-ctx.Done()
				time.Sleep(time.Second) // it takes a while to clean up
				ended = true
				return 0, ctx.Err()
			})
			if !errors.Is(err, context.DeadlineExceeded) || !ended {
				t.Errorf("error %v, work ended %v", err, ended)
			}
		})
	})
	t.Run("what has ended is not found again", func(t *testing.T) {
		var f flights[int]
		for n := range 3 {
			got, err := f.do(t.Context(), "key", func(any) {}, func(context.Context, func(any)) (int, error) { return n, nil })
			if got != n || err != nil {
				t.Errorf("got %d, %v; want %d", got, err, n)
			}
		}
	})
}
