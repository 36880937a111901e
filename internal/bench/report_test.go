package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFigureOf(t *testing.T) {
	tests := map[string]struct {
		values []float64
		want   figure
	}{
		"one":  {[]float64{3}, figure{Median: 3, Low: 3, High: 3, Repetitions: 1}},
		"odd":  {[]float64{9, 1, 2}, figure{Median: 2, Low: 1, High: 9, Repetitions: 3}},
		"even": {[]float64{4, 1, 2, 9}, figure{Median: 3, Low: 1, High: 9, Repetitions: 4}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, figureOf(test.values)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestVerdicts(t *testing.T) {
	tests := map[string]struct {
		row                        row
		comparison, bound, verdict string
	}{
		"ratio within": {
			newRow("r", seconds, ratio, []float64{1.2}, []float64{1}, atMost(1.25)), "1.20 x", "<= 1.25 x", "within",
		},
		"ratio over": {
			newRow("r", seconds, ratio, []float64{1.3}, []float64{1}, atMost(1.25)), "1.30 x", "<= 1.25 x", "over",
		},
		"rate too low": {
			newRow("r", bytesPerSecond, ratio, []float64{4e8}, []float64{1e9}, atLeast(0.5)), "0.40 x", ">= 0.50 x", "over",
		},
		"difference within": {
			newRow("r", seconds, difference, []float64{0.15}, []float64{0.06}, atMost(0.1)), "+90 ms", "<= +100 ms", "within",
		},
		"faster than bare": {
			newRow("r", seconds, difference, []float64{0.05}, []float64{0.06}, atMost(0.1)), "-10 ms", "<= +100 ms", "within",
		},
		"alone, at least": {
			newRow("r", runsPerSecond, alone, []float64{49.5}, []float64{600}, atLeast(50)), "", ">= 50.0 /s", "over",
		},
		"for reference": {newRow("r", byteCount, alone, []float64{1 << 20}, nil, nil), "", "", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := []string{test.row.comparisonText(), test.row.boundText(), test.row.verdict()}
			if diff := cmp.Diff([]string{test.comparison, test.bound, test.verdict}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReportIsOneDocument(t *testing.T) {
	r := &report{CPUs: 2, Rows: []row{newRow("name", seconds, ratio, []float64{1, 2, 3}, []float64{4}, atMost(1))}}
	var table, document bytes.Buffer
	if err := errors.Join(r.printTable(&table), r.printJSON(&document)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table.String(), "2.00 s (1.00 s-3.00 s)  4.00 s  0.50 x        <= 1.00 x  within") {
		t.Errorf("table:\n%s", table.String())
	}
	var back report
	if err := json.Unmarshal(document.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, &back); diff != "" {
		t.Error(diff)
	}
}

// TestInterleave tells the sides apart whichever goes first.
func TestInterleave(t *testing.T) {
	var order strings.Builder
	side := func(name string) func() (string, error) {
		return func() (string, error) { order.WriteString(name); return name, nil }
	}
	as, bs, err := interleave(3, side("a"), side("b"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "a", "a", "b", "b", "b"}, append(as, bs...)); diff != "" {
		t.Error(diff)
	}
	if order.String() != "abbaabba" {
		t.Errorf("order %s", order.String())
	}
}

func TestUnknownNames(t *testing.T) {
	for _, args := range [][]string{{"nothing"}, {"-o", "xml"}, {"-x"}} {
		if err := command(t.Context(), args, &bytes.Buffer{}, &bytes.Buffer{}); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
}
