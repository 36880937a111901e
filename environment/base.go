package environment

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// BaseImage is one built-in base image.
type BaseImage struct {
	// Name is what a spec says: "cpu" or "gpu".
	Name string `json:"name" yaml:"name"`
	// Reference of the image, without a registry host, so that a mirror works.
	Reference string `json:"reference" yaml:"reference"`
	// CUDA version inside, or empty.
	CUDA string `json:"cuda,omitempty" yaml:"cuda,omitempty"`
	// MinDriver is the oldest NVIDIA driver for Linux that the image is chosen
	// for; empty for images without CUDA.
	MinDriver string `json:"min_driver,omitempty" yaml:"min_driver,omitempty"`
}

// BaseImages is the built-in table. A deployment may pass its own.
//
// The driver numbers are those of NVIDIA's CUDA Toolkit release notes. Within
// one major version of CUDA a driver runs all minor versions ("minor version
// compatibility": 450.80.02 for 11.x, 525.60.13 for 12.x, 580.65.06 for 13.x),
// but without PTX code and some features when it is older than the toolkit;
// and the images themselves refuse such a driver on most cards
// (NVIDIA_REQUIRE_CUDA). So each image is chosen from the driver on that its
// toolkit was released with. Only CUDA 11.8, the last resort, is chosen from
// the compatibility number on; 520.61.05 came with it.
func BaseImages() []BaseImage {
	return []BaseImage{
		{Name: "cpu", Reference: "python:3.12-slim-bookworm"},
		{Name: "gpu", CUDA: "13.0", MinDriver: "580.65.06", Reference: "nvidia/cuda:13.0.2-cudnn-runtime-ubuntu24.04"},
		{Name: "gpu", CUDA: "12.8", MinDriver: "570.26", Reference: "nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04"},
		{Name: "gpu", CUDA: "12.6", MinDriver: "560.28.03", Reference: "nvidia/cuda:12.6.3-cudnn-runtime-ubuntu24.04"},
		{Name: "gpu", CUDA: "12.4", MinDriver: "550.54.14", Reference: "nvidia/cuda:12.4.1-cudnn-runtime-ubuntu22.04"},
		{Name: "gpu", CUDA: "12.2", MinDriver: "535.54.03", Reference: "nvidia/cuda:12.2.2-cudnn8-runtime-ubuntu22.04"},
		{Name: "gpu", CUDA: "12.0", MinDriver: "525.60.13", Reference: "nvidia/cuda:12.0.1-cudnn8-runtime-ubuntu22.04"},
		{Name: "gpu", CUDA: "11.8", MinDriver: "450.80.02", Reference: "nvidia/cuda:11.8.0-cudnn8-runtime-ubuntu22.04"},
	}
}

// BaseError says why no base image fits.
type BaseError struct {
	// Driver found, or empty; Needed is the oldest that any image runs with.
	Driver, Needed string
	Message        string
	Hint           string
}

func (e *BaseError) Error() string { return e.Message }

// ChooseBase gives the reference of the built-in image that name stands for:
// for gpu the one with the newest CUDA that the driver can run. driver is the
// version of the machine's NVIDIA driver ("535.104.05"), empty when it has
// none. A name that is not in the table is a reference already and comes back
// unchanged. The error is a *BaseError.
func ChooseBase(name string, table []BaseImage, driver string) (reference string, err error) {
	var fitting []BaseImage
	for _, image := range table {
		if image.Name == name {
			fitting = append(fitting, image)
		}
	}
	if len(fitting) == 0 {
		if builtinImage(name) {
			return "", &BaseError{Driver: driver, Message: fmt.Sprintf("the table of base images has none named %s", name), Hint: "name an image in docker.image"}
		}
		return name, nil
	}
	slices.SortStableFunc(fitting, func(a, b BaseImage) int { // newest CUDA first
		return cmp.Or(compareVersions(b.CUDA, a.CUDA), compareVersions(b.MinDriver, a.MinDriver))
	})
	if driver != "" {
		if _, err := versionNumbers(driver); err != nil {
			return "", &BaseError{Driver: driver, Message: fmt.Sprintf("the NVIDIA driver says version %q, which is no version", driver), Hint: "check nvidia-smi"}
		}
	}
	oldest := ""
	for _, image := range fitting {
		if image.MinDriver == "" || (driver != "" && compareVersions(driver, image.MinDriver) >= 0) {
			return image.Reference, nil
		}
		if oldest == "" || compareVersions(image.MinDriver, oldest) < 0 {
			oldest = image.MinDriver
		}
	}
	failure := &BaseError{Driver: driver, Needed: oldest}
	if driver == "" {
		failure.Message = fmt.Sprintf("the image %s needs an NVIDIA driver and none was found", name)
		failure.Hint = fmt.Sprintf("install driver %s or newer on the machine, or use docker.image: cpu", oldest)
	} else {
		failure.Message = fmt.Sprintf("the NVIDIA driver %s is too old for every %s image: %s is the oldest that works", driver, name, oldest)
		failure.Hint = "update the driver, or name an image of your own in docker.image"
	}
	return "", failure
}

// compareVersions compares dotted numbers; what cannot be read counts as 0.
func compareVersions(a, b string) int {
	left, _ := versionNumbers(a)
	right, _ := versionNumbers(b)
	return slices.Compare(left, right)
}

func versionNumbers(version string) ([]int, error) {
	if version == "" {
		return nil, errors.New("no version")
	}
	var numbers []int
	for part := range strings.SplitSeq(version, ".") {
		number, err := strconv.Atoi(part)
		if err != nil {
			return nil, fmt.Errorf("version %q: %w", version, err)
		}
		numbers = append(numbers, number)
	}
	return numbers, nil
}
