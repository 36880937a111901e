package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// comparison is what a row's value is of ours and bare.
type comparison string

const (
	ratio      comparison = "ratio"      // ours / bare
	difference comparison = "difference" // ours - bare
	alone      comparison = "alone"      // ours; bare, when there is one, is for reference
)

// unit of a row's figures, the same in JSON; a table shows them readably.
type unit string

const (
	seconds        unit = "seconds"
	byteCount      unit = "bytes"
	bytesPerSecond unit = "bytes_per_second"
	runsPerSecond  unit = "runs_per_second"
)

// row is one line of the report.
type row struct {
	Bench   string     `json:"bench"`
	Name    string     `json:"name"`
	Unit    unit       `json:"unit"`
	Ours    figure     `json:"ours"`
	Bare    *figure    `json:"bare"` // of the bare tool; nil: there is none
	Compare comparison `json:"compare"`
	// Value of the comparison, in Unit unless it is a ratio.
	Value float64 `json:"value"`
	// Bound on Value; nil: the row is for reference.
	Bound *bound `json:"bound"`
	// Within is whether Value keeps the bound; nil without one.
	Within *bool `json:"within"`
}

type bound struct {
	Limit   float64 `json:"limit"`
	AtLeast bool    `json:"at_least"` // else at most
}

func atMost(limit float64) *bound  { return &bound{Limit: limit} }
func atLeast(limit float64) *bound { return &bound{Limit: limit, AtLeast: true} }

func newRow(name string, u unit, c comparison, ours, bare []float64, b *bound) row {
	r := row{Name: name, Unit: u, Ours: figureOf(ours), Compare: c, Bound: b}
	if len(bare) > 0 {
		f := figureOf(bare)
		r.Bare = &f
	}
	switch c {
	case ratio:
		r.Value = r.Ours.Median / r.Bare.Median
	case difference:
		r.Value = r.Ours.Median - r.Bare.Median
	case alone:
		r.Value = r.Ours.Median
	}
	if b != nil {
		within := r.Value <= b.Limit
		if b.AtLeast {
			within = r.Value >= b.Limit
		}
		r.Within = &within
	}
	return r
}

// report is everything that one call measured.
type report struct {
	At time.Time `json:"at"`
	// CPUs that this process may use, and the load average of a minute before
	// and after: a busy machine makes poor figures.
	CPUs       int     `json:"cpus"`
	LoadBefore float64 `json:"load_before"`
	LoadAfter  float64 `json:"load_after"`
	Temporary  string  `json:"temporary"` // where files were written
	Quick      bool    `json:"quick"`
	Rows       []row   `json:"rows"`
}

func newReport(l *lab) *report {
	return &report{
		At: time.Now().UTC(), CPUs: runtime.NumCPU(), LoadBefore: load(), Temporary: os.TempDir(),
		Quick: l.quick, Rows: []row{},
	}
}

// load is the load average of a minute, zero where it is not known.
func load() float64 {
	var average float64
	data, err := os.ReadFile("/proc/loadavg")
	if err == nil {
		_, _ = fmt.Sscan(string(data), &average)
	}
	return average
}

func (r *report) printJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

func (r *report) printTable(w io.Writer) error {
	fmt.Fprintf(w, "%d CPUs, load %.1f before and %.1f after, files in %s; medians, and (lowest-highest)\n\n",
		r.CPUs, r.LoadBefore, r.LoadAfter, r.Temporary)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "BENCH\tNAME\tOURS\tBARE\tOURS TO BARE\tBOUND\tVERDICT")
	for _, row := range r.Rows {
		bare := ""
		if row.Bare != nil {
			bare = row.Bare.text(row.Unit)
		}
		fmt.Fprintln(t, strings.Join([]string{
			row.Bench, row.Name, row.Ours.text(row.Unit), bare, row.comparisonText(), row.boundText(), row.verdict(),
		}, "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if r.Quick {
		fmt.Fprintln(w, "\n-quick: too little data for a judgement")
	} else if r.LoadBefore > float64(r.CPUs)/2 {
		fmt.Fprintln(w, "\nthe machine was busy with other things: measure again when it is not")
	}
	return nil
}

func (r *row) comparisonText() string {
	switch r.Compare {
	case ratio:
		return fmt.Sprintf("%.2f x", r.Value)
	case difference:
		return signed(r.Value, r.Unit)
	case alone:
	}
	return ""
}

func (r *row) boundText() string {
	if r.Bound == nil {
		return ""
	}
	sign := "<="
	if r.Bound.AtLeast {
		sign = ">="
	}
	switch r.Compare {
	case ratio:
		return fmt.Sprintf("%s %.2f x", sign, r.Bound.Limit)
	case difference:
		return sign + " " + signed(r.Bound.Limit, r.Unit)
	case alone:
	}
	return sign + " " + quantity(r.Bound.Limit, r.Unit)
}

func (r *row) verdict() string {
	switch {
	case r.Within == nil:
		return ""
	case *r.Within:
		return "within"
	default:
		return "over"
	}
}

func signed(v float64, u unit) string {
	if v < 0 {
		return "-" + quantity(-v, u)
	}
	return "+" + quantity(v, u)
}

// quantity is a figure for a person.
func quantity(v float64, u unit) string {
	const mega, mebi = 1e6, 1 << 20
	switch u {
	case seconds:
		if math.Abs(v) < 1 {
			return fmt.Sprintf("%.0f ms", v*1000)
		}
		return fmt.Sprintf("%.2f s", v)
	case byteCount:
		return fmt.Sprintf("%.1f MiB", v/mebi)
	case bytesPerSecond:
		return fmt.Sprintf("%.0f MB/s", v/mega)
	case runsPerSecond:
		return fmt.Sprintf("%.1f /s", v)
	}
	return fmt.Sprint(v)
}
