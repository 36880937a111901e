package runconfig

import "time"

// Bytes is a size in bytes. YAML: a number of bytes, or "4GiB", "500MB",
// "2Gi", "512m".
type Bytes int64

// Duration is a length of time. YAML: "2h", "90m", "1d12h", or a number of
// seconds. JSON: seconds.
type Duration time.Duration
