package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// statusField reads one line of /proc/PID/status.
func statusField(pid, field string) (string, error) {
	f, err := os.Open("/proc/" + pid + "/status")
	if err != nil {
		return "", err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), field+":"); ok {
			return strings.TrimSpace(value), nil
		}
	}
	return "", fmt.Errorf("%s has no %s", f.Name(), field)
}

// memoryOf is a process's memory in bytes: VmRSS now, VmHWM at its peak.
func memoryOf(pid int, field string) (float64, error) {
	text, err := statusField(strconv.Itoa(pid), field)
	if err != nil {
		return 0, err
	}
	kib, err := strconv.ParseFloat(strings.TrimSuffix(text, " kB"), 64)
	return kib * 1024, err
}

// cpuOf is what a process has used of the processors, in seconds.
func cpuOf(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// After the name, which may hold anything, in parentheses.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const user, system, ticks = 11, 12, 100
	if len(fields) <= system {
		return 0, fmt.Errorf("/proc/%d/stat is %q", pid, text)
	}
	var total float64
	for _, field := range []string{fields[user], fields[system]} {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return 0, err
		}
		total += n / ticks
	}
	return total, nil
}

// resetPeak makes VmHWM of a process begin again at what it uses now.
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// allowedCPUs lists the first n CPUs that we may use, as taskset reads it.
func allowedCPUs(n int) (string, error) {
	list, err := statusField("self", "Cpus_allowed_list")
	if err != nil {
		return "", err
	}
	var some []string
	for part := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		first, err := strconv.Atoi(low)
		if err != nil {
			return "", err
		}
		last, err := strconv.Atoi(high)
		if err != nil {
			return "", err
		}
		for cpu := first; cpu <= last && len(some) < n; cpu++ {
			some = append(some, strconv.Itoa(cpu))
		}
	}
	return strings.Join(some, ","), nil
}
