package runconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/runnerml/runner/environment"
	"go.yaml.in/yaml/v4"
)

// Bytes is a size in bytes. YAML: a number of bytes, or "4GiB", "500MB",
// "2Gi", "512m".
type Bytes int64

// Duration is a length of time. YAML: "2h", "90m", "1d12h", or a number of
// seconds. JSON: seconds.
type Duration time.Duration

// ParseBytes reads a size as YAML holds it; see environment.ParseSize.
func ParseBytes(text string) (Bytes, error) {
	size, err := environment.ParseSize(text)
	return Bytes(size), err
}

// String writes the size in the largest unit that loses nothing.
func (b Bytes) String() string { return environment.FormatSize(int64(b)) }

// MarshalYAML writes what String gives.
func (b Bytes) MarshalYAML() (any, error) { return b.String(), nil }

// UnmarshalYAML reads a number or a text.
func (b *Bytes) UnmarshalYAML(n *yaml.Node) error {
	text, err := scalarText(n, "a size such as 4GiB")
	if err != nil {
		return err
	}
	*b, err = ParseBytes(text)
	return err
}

// UnmarshalJSON reads a number of bytes or a text as in YAML.
func (b *Bytes) UnmarshalJSON(data []byte) error {
	text, err := jsonText(data)
	if err != nil {
		return err
	}
	*b, err = ParseBytes(text)
	return err
}

var durationUnits = []struct {
	name string
	unit time.Duration
}{
	{"d", 24 * time.Hour},
	{"h", time.Hour},
	{"m", time.Minute},
	{"s", time.Second},
	{"ms", time.Millisecond},
	{"us", time.Microsecond},
	{"ns", time.Nanosecond},
}

// ParseDuration reads "2h", "90m", "1d12h", "1.5h", or a number of seconds.
func ParseDuration(text string) (Duration, error) {
	text = strings.TrimSpace(text)
	bad := fmt.Errorf("%q is no length of time: write for example 2h, 90m, 1d12h or 3600", text)
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		return scaled(seconds, time.Second, text)
	}
	rest, negative := strings.CutPrefix(text, "-")
	if rest == "" {
		return 0, bad
	}
	var total Duration
	for rest != "" {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789."))
		letters := len(rest[digits:]) - len(strings.TrimLeft(rest[digits:], "dhmsun"))
		number, err := strconv.ParseFloat(rest[:digits], 64)
		unit := unitNamed(rest[digits : digits+letters])
		if err != nil || unit == 0 {
			return 0, bad
		}
		part, err := scaled(number, unit, text)
		if err != nil {
			return 0, err
		}
		if total > math.MaxInt64-part {
			return 0, fmt.Errorf("%q is longer than 292 years", text)
		}
		total += part
		rest = strings.TrimSpace(rest[digits+letters:])
	}
	if negative {
		total = -total
	}
	return total, nil
}

func unitNamed(name string) time.Duration {
	for _, u := range durationUnits {
		if u.name == name {
			return u.unit
		}
	}
	return 0
}

func scaled(number float64, unit time.Duration, text string) (Duration, error) {
	length := number * float64(unit)
	if math.IsNaN(length) || math.Abs(length) >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is longer than 292 years", text)
	}
	return Duration(math.Round(length)), nil
}

// String writes the length with the units that ParseDuration reads: "1d12h".
func (d Duration) String() string {
	if d == 0 {
		return "0s"
	}
	if d == math.MinInt64 {
		return "-" + Duration(math.MaxInt64).String() // one nanosecond short
	}
	sign, rest := "", time.Duration(d)
	if rest < 0 {
		sign, rest = "-", -rest
	}
	var b strings.Builder
	b.WriteString(sign)
	for _, u := range durationUnits {
		if count := rest / u.unit; count > 0 {
			fmt.Fprintf(&b, "%d%s", count, u.name)
			rest %= u.unit
		}
	}
	return b.String()
}

// Std is the length as the standard library has it.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// MarshalYAML writes what String gives.
func (d Duration) MarshalYAML() (any, error) { return d.String(), nil }

// UnmarshalYAML reads a text or a number of seconds.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	text, err := scalarText(n, "a length of time such as 2h")
	if err != nil {
		return err
	}
	*d, err = ParseDuration(text)
	return err
}

// MarshalJSON writes seconds, with a fraction when there is one.
func (d Duration) MarshalJSON() ([]byte, error) {
	whole, part := d/Duration(time.Second), d%Duration(time.Second)
	if part == 0 {
		return strconv.AppendInt(nil, int64(whole), 10), nil
	}
	sign := ""
	if d < 0 {
		sign, whole, part = "-", -whole, -part
	}
	return []byte(strings.TrimRight(fmt.Sprintf("%s%d.%09d", sign, whole, part), "0")), nil
}

// UnmarshalJSON reads seconds, or a text as in YAML.
func (d *Duration) UnmarshalJSON(data []byte) error {
	text, err := jsonText(data)
	if err != nil {
		return err
	}
	*d, err = ParseDuration(text)
	return err
}

func scalarText(n *yaml.Node, want string) (string, error) {
	if n.Kind != yaml.ScalarNode {
		return "", errors.New("this must be " + want)
	}
	return n.Value, nil
}

// jsonText gives a JSON string's content, or a number as it is written.
func jsonText(data []byte) (string, error) {
	if len(data) > 0 && data[0] == '"' {
		var text string
		err := json.Unmarshal(data, &text)
		return text, err
	}
	return string(data), nil
}
