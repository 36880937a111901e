package main

import (
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"
)

func TestLiveStepFitsTheTerminal(t *testing.T) {
	plainScreen := &screen{}
	for name, step := range map[string]liveStep{
		"bytes":      {name: "image", detail: "pulling python:3.12", done: 5 << 20, total: 10 << 20, unit: "B"},
		"count":      {name: "environment", detail: "pip: installing", done: 1, total: 2},
		"no total":   {name: "upload", done: 3 << 20, unit: "B"},
		"wide words": {name: "image", detail: strings.Repeat("日本", 100), done: 1, total: 1},
		"too much":   {name: "image", detail: "x", done: 12, total: 10},
	} {
		t.Run(name, func(t *testing.T) {
			for width := 10; width < 120; width++ {
				line := step.line(plainScreen, width, time.Minute)
				if runewidth.StringWidth(line) > width {
					t.Errorf("%d columns: %q", width, line)
				}
				if strings.Contains(line, "\n") {
					t.Errorf("several lines: %q", line)
				}
			}
		})
	}
	step := liveStep{name: "image", detail: "pulling", done: 5 << 20, total: 10 << 20, unit: "B"}
	want := "image        [============            ] 5.0 MiB / 10 MiB  12s  pulling"
	if got := step.line(plainScreen, 100, 12*time.Second); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestNoTerminalNoLines(t *testing.T) {
	l := &liveLines{out: &screen{}, now: time.Now}
	l.show("image", "pulling", 1, 2, "B") // would write to a nil file
	l.drop("image")
	l.clear()
}
