package inventory

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// errNotAMD is an answer that is not the tool's.
var errNotAMD = errors.New("its answer cannot be read")

// text is a JSON string, or what else stands there as text.
type text string

// UnmarshalJSON takes any value: a field that a card has not is "N/A", in
// whatever shape it otherwise has.
func (t *text) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) == nil {
		*t = text(s)
		return nil
	}
	*t = text(data)
	return nil
}

// section is a part of amd-smi's answer; empty where it is no object: a part
// that a card has not is "N/A".
type section map[string]json.RawMessage

// UnmarshalJSON never fails.
func (s *section) UnmarshalJSON(data []byte) error {
	fields := map[string]json.RawMessage{}
	if json.Unmarshal(data, &fields) == nil {
		*s = fields
	}
	return nil
}

// get is a field as text; empty when the card has it not.
func (s section) get(name string) string {
	var t text
	if json.Unmarshal(s[name], &t) != nil {
		return ""
	}
	return known(string(t))
}

type amdCard struct {
	GPU    int     `json:"gpu"`
	ASIC   section `json:"asic"`
	Bus    section `json:"bus"`
	VRAM   section `json:"vram"`
	Driver section `json:"driver"`
}

// parseAMDSMI reads amd-smi static --json: an array of cards, or since ROCm 7
// an object that holds it. The ids are amd-smi's own numbers.
func parseAMDSMI(data []byte) (gpuAnswer, error) {
	data = fromJSON(data)
	var cards []amdCard
	if bytes.HasPrefix(data, []byte("{")) {
		var wrapped struct {
			Cards []amdCard `json:"gpu_data"`
		}
		if err := firstJSON(data, &wrapped); err != nil {
			return gpuAnswer{}, err
		}
		cards = wrapped.Cards
	} else if err := firstJSON(data, &cards); err != nil {
		return gpuAnswer{}, err
	}
	var answer gpuAnswer
	for _, c := range cards {
		if c.GPU < 0 {
			continue
		}
		id := strconv.Itoa(c.GPU)
		g := GPU{
			Vendor: vendorAMD, Index: c.GPU, ID: id, Name: c.ASIC.get("market_name"),
			Architecture: c.ASIC.get("target_graphics_version"), PCI: pciAddress(c.Bus.get("bdf")), Memory: amdSize(c.VRAM["size"]),
		}
		answer.gpus = append(answer.gpus, g)
		answer.amd.Driver = cmp.Or(answer.amd.Driver, c.Driver.get("version"))
	}
	return answer, nil
}

// amdSize reads {"value": 196592, "unit": "MB"}, or "196592 MB"; amd-smi's MB
// are MiB.
func amdSize(data json.RawMessage) int64 {
	var size struct {
		Value text `json:"value"`
		Unit  text `json:"unit"`
	}
	if json.Unmarshal(data, &size) != nil {
		var s text
		if json.Unmarshal(data, &s) != nil {
			return 0
		}
		value, unit, _ := strings.Cut(string(s), " ")
		size.Value, size.Unit = text(value), text(unit)
	}
	shift := map[string]int{"B": 0, "KB": 10, "MB": 20, "GB": 30}
	n, err := strconv.ParseInt(string(size.Value), 10, 64)
	by, ok := shift[strings.TrimSpace(string(size.Unit))]
	if err != nil || !ok || n < 0 || n > 1<<50>>by {
		return 0
	}
	return n << by
}

// parseROCmSMI reads rocm-smi --json: an object of cards ("card0") and one
// named "system". Names of fields changed over the releases.
func parseROCmSMI(data []byte) (gpuAnswer, error) {
	var cards map[string]map[string]text
	if err := firstJSON(fromJSON(data), &cards); err != nil {
		return gpuAnswer{}, err
	}
	field := func(card map[string]text, names ...string) string {
		for _, n := range names {
			for have, value := range card {
				if strings.EqualFold(have, n) && known(string(value)) != "" {
					return known(string(value))
				}
			}
		}
		return ""
	}
	var answer gpuAnswer
	for name, card := range cards {
		if name == "system" {
			answer.amd.Driver = field(card, "Driver version")
			continue
		}
		number, ok := strings.CutPrefix(name, "card")
		index, err := strconv.Atoi(number)
		if !ok || err != nil || index < 0 {
			continue
		}
		memory, err := strconv.ParseInt(field(card, "VRAM Total Memory (B)"), 10, 64)
		if err != nil || memory < 0 {
			memory = 0
		}
		g := GPU{
			Vendor: vendorAMD, Index: index, ID: strconv.Itoa(index), Name: field(card, "Card Series", "Device Name", "Card Model"),
			Architecture: field(card, "GFX Version"), PCI: pciAddress(field(card, "PCI Bus")), Memory: memory,
		}
		if id, err := strconv.ParseUint(strings.TrimPrefix(field(card, "Unique ID"), "0x"), 16, 64); err == nil && id != 0 {
			g.UUID = fmt.Sprintf("GPU-%016x", id)
		}
		answer.gpus = append(answer.gpus, g)
	}
	slices.SortFunc(answer.gpus, func(a, b GPU) int { return a.Index - b.Index })
	return answer, nil
}

// fromJSON drops what comes before the first bracket: both tools write
// warnings there.
func fromJSON(data []byte) []byte {
	for len(data) > 0 {
		i := bytes.IndexAny(data, "{[")
		if i < 0 {
			return nil
		}
		// A warning may be in brackets, too: "[WARN] ...".
		if rest := bytes.TrimLeft(data[i+1:], " \t\r\n"); len(rest) > 0 && strings.ContainsRune(`"{[]}`, rune(rest[0])) {
			return data[i:]
		}
		data = data[i+1:]
	}
	return nil
}

// firstJSON reads the first value; what follows does not matter.
func firstJSON(data []byte, into any) error {
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(into); err != nil {
		return fmt.Errorf("%w: %w", errNotAMD, err)
	}
	return nil
}
