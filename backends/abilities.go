package backends

import "context"

// Watcher is a backend that says when something changed, so that nobody has
// to ask often. Watch calls changed for an attempt that may have changed (a
// Ref with an empty Run: any of them) and returns when ctx ends or when it can
// watch no more; changed must not block.
type Watcher interface {
	Watch(ctx context.Context, changed func(Ref)) error
}

// Sizer is a backend whose target has a size of its own, so that our queue
// fills it. A backend without it has an engine that queues.
type Sizer interface {
	Size(ctx context.Context) (Size, error)
}

// Size is what a target has to give.
type Size struct {
	CPUs float64
	// Memory in bytes.
	Memory int64
	GPUs   []GPU
}

// GPU is one device, or one MIG instance of it.
type GPU struct {
	// ID as the driver takes it in CUDA_VISIBLE_DEVICES or HIP_VISIBLE_DEVICES.
	ID string
	// Vendor is "nvidia" or "amd".
	Vendor string
	// Name of the model, for example "NVIDIA H100 80GB HBM3".
	Name string
	// Memory in bytes; zero: unknown.
	Memory int64
}

// Sweeper is a backend that can list what it finds of ours on its target, so
// that what no run owns any more is released.
type Sweeper interface {
	Marks(ctx context.Context) ([]Ref, error)
}
