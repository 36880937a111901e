package main

import (
	"fmt"
	"slices"
)

// figure is what repetitions of one measurement gave.
type figure struct {
	Median      float64 `json:"median"`
	Low         float64 `json:"low"`
	High        float64 `json:"high"`
	Repetitions int     `json:"repetitions"`
}

// figureOf needs at least one value.
func figureOf(values []float64) figure {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return figure{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Low: sorted[0], High: sorted[n-1], Repetitions: n}
}

func (f figure) text(u unit) string {
	if f.Repetitions == 1 {
		return quantity(f.Median, u)
	}
	return fmt.Sprintf("%s (%s-%s)", quantity(f.Median, u), quantity(f.Low, u), quantity(f.High, u))
}

// interleave measures a and b in turn, n times each, after once each for
// nothing. Which goes first alternates, so that what either leaves behind (dirty
// pages, warm caches) falls on both.
func interleave[T any](n int, a, b func() (T, error)) (as, bs []T, err error) {
	for i := range n + 1 {
		first, second := a, b
		if i%2 == 1 {
			first, second = b, a
		}
		x, err := first()
		if err != nil {
			return nil, nil, err
		}
		y, err := second()
		if err != nil {
			return nil, nil, err
		}
		if i == 0 {
			continue
		}
		if i%2 == 1 {
			x, y = y, x
		}
		as, bs = append(as, x), append(bs, y)
	}
	return as, bs, nil
}

// pick takes one value out of each measurement.
func pick[T any](all []T, value func(T) float64) []float64 {
	values := make([]float64, len(all))
	for i, v := range all {
		values[i] = value(v)
	}
	return values
}
