package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTook(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second:                        "0s",
		0:                                   "0.00s",
		420 * time.Millisecond:              "0.42s",
		12340 * time.Millisecond:            "12.3s",
		4*time.Minute + 5*time.Second:       "4m05s",
		2*time.Hour + 3*time.Minute:         "2h03m",
		3*24*time.Hour + 4*time.Hour + 59e9: "3d04h",
	} {
		if got := took(d); got != want {
			t.Errorf("took(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second:     "0s",
		59 * time.Second: "59s",
		90 * time.Second: "1m",
		47 * time.Hour:   "47h",
		49 * time.Hour:   "2d",
	} {
		if got := age(d); got != want {
			t.Errorf("age(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	var tab table
	tab.head("ID", "NAME", "MESSAGE")
	tab.add(plain("a"), cell{text: "日本", painted: "\x1b[31m日本\x1b[0m"}, plain("short"))
	tab.add(plain("abc"), plain(""), plain("a message that is much too long"))
	want := strings.Join([]string{
		"ID   NAME  MESSAGE",
		"a    \x1b[31m日本\x1b[0m  short",
		"abc        a messa…",
		"",
	}, "\n")
	if diff := cmp.Diff(want, tab.render(19)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTidyKeepsTheTerminalSafe(t *testing.T) {
	if got := tidyLine("a\x1b[2Jb\r\nc\u009bd\x07"); got != "a?[2Jb  c?d?" {
		t.Errorf("got %q", got)
	}
}
