package environment_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/runnerml/runner/environment"
)

func TestChooseBase(t *testing.T) {
	table := environment.BaseImages()
	own := []environment.BaseImage{{Name: "cpu", Reference: "mirror/base:1"}, {Name: "gpu", Reference: "mirror/cuda", CUDA: "12.10", MinDriver: "600.1"}, {Name: "gpu", Reference: "mirror/cuda9", CUDA: "12.9", MinDriver: "575.1"}}
	tests := []struct {
		name, image, driver string
		table               []environment.BaseImage
		want, wrong         string
	}{
		{"cpu without a driver", "cpu", "", table, "python:3.12-slim-bookworm", ""},
		{"cpu with a driver", "cpu", "580.65.06", table, "python:3.12-slim-bookworm", ""},
		{"another image", "me/x:1", "", table, "me/x:1", ""},
		{"newest driver", "gpu", "595.10", table, "nvidia/cuda:13.0.2-cudnn-runtime-ubuntu24.04", ""},
		{"exactly", "gpu", "580.65.06", table, "nvidia/cuda:13.0.2-cudnn-runtime-ubuntu24.04", ""},
		{"one below", "gpu", "580.65.05", table, "nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04", ""},
		{"a data centre's 535", "gpu", "535.104.05", table, "nvidia/cuda:12.2.2-cudnn8-runtime-ubuntu22.04", ""},
		{"525", "gpu", "525.60.13", table, "nvidia/cuda:12.0.1-cudnn8-runtime-ubuntu22.04", ""},
		{"470 has CUDA 11", "gpu", "470.199.02", table, "nvidia/cuda:11.8.0-cudnn8-runtime-ubuntu22.04", ""},
		{"too old", "gpu", "440.33.01", table, "", "the NVIDIA driver 440.33.01 is too old for every gpu image: 450.80.02 is the oldest that works"},
		{"none", "gpu", "", table, "", "the image gpu needs an NVIDIA driver and none was found"},
		{"no version", "gpu", "N/A", table, "", `the NVIDIA driver says version "N/A", which is no version`},
		{"own table", "gpu", "600.1", own, "mirror/cuda", ""},
		{"own table, older driver", "gpu", "599", own, "mirror/cuda9", ""},
		{"a table without it", "gpu", "600.1", own[:1], "", "the table of base images has none named gpu"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := environment.ChooseBase(test.image, test.table, test.driver)
			if test.wrong != "" {
				var wrong *environment.BaseError
				if !errors.As(err, &wrong) || err.Error() != test.wrong || wrong.Hint == "" || wrong.Driver != test.driver {
					t.Errorf("error %v (%+v)", err, wrong)
				}
				return
			}
			if err != nil || got != test.want {
				t.Errorf("%s, %v", got, err)
			}
		})
	}
}

func TestBaseImages(t *testing.T) {
	for _, image := range environment.BaseImages() {
		if strings.ContainsAny(strings.SplitN(image.Reference, "/", 2)[0], ".") && strings.Contains(image.Reference, "/") {
			t.Errorf("%s names a registry's host", image.Reference)
		}
		if (image.CUDA == "") != (image.MinDriver == "") || image.CUDA != "" && !strings.Contains(image.Reference, ":"+image.CUDA+".") {
			t.Errorf("%+v", image)
		}
	}
}
