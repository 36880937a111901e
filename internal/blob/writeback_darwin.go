package blob

import (
	"os"

	"github.com/runnerml/runner/internal/partfile"
)

func writeBack(*os.File, partfile.Span) {}
