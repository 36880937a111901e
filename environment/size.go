package environment

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ParseSize reads a size in bytes: "4GiB", "2Gi", "512m" (all powers of 1024,
// as docker and Slurm mean them), "500MB" (powers of 1000), or a plain number
// of bytes. Fractions are allowed where they make whole bytes.
func ParseSize(text string) (int64, error) {
	text = strings.TrimSpace(text)
	digits := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	unit := strings.TrimSpace(text[len(digits):])
	scale, ok := sizeUnits()[strings.ToLower(unit)]
	if digits == "" || !ok || strings.Trim(digits, "0123456789.") != "" {
		return 0, fmt.Errorf("%q is no size: write for example 4GiB, 500MB or 1073741824", text)
	}
	if whole, err := strconv.ParseInt(digits, 10, 64); err == nil {
		if whole > math.MaxInt64/scale {
			return 0, fmt.Errorf("%q is larger than any machine", text)
		}
		return whole * scale, nil
	} else if errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("%q is larger than any machine", text)
	}
	number, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no size: write for example 4GiB, 500MB or 1073741824", text)
	}
	size := number * float64(scale)
	if size >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is larger than any machine", text)
	}
	if size != math.Trunc(size) && scale == 1 {
		return 0, fmt.Errorf("%q is no whole number of bytes", text)
	}
	return int64(size), nil
}

func sizeUnits() map[string]int64 {
	units := map[string]int64{"": 1, "b": 1}
	binary, decimal := int64(1), int64(1)
	for _, letter := range "kmgtp" {
		binary, decimal = binary*1024, decimal*1000
		unit := string(letter)
		units[unit], units[unit+"i"], units[unit+"ib"], units[unit+"b"] = binary, binary, binary, decimal
	}
	return units
}

// FormatSize writes a size in the largest unit that loses nothing: "4GiB",
// "500MB", "1000". ParseSize gives the same number back.
func FormatSize(size int64) string {
	for _, unit := range []string{"PiB", "PB", "TiB", "TB", "GiB", "GB", "MiB", "MB", "KiB", "KB"} {
		scale := sizeUnits()[strings.ToLower(unit)]
		if size >= scale && size%scale == 0 {
			return strconv.FormatInt(size/scale, 10) + unit
		}
	}
	return strconv.FormatInt(size, 10)
}
