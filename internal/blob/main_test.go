package blob

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(transferEnv) != "" {
		os.Exit(transferProcess())
	}
	goleak.VerifyTestMain(m)
}
