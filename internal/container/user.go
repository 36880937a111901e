package container

import (
	"fmt"

	"github.com/moby/moby/api/types/container"
)

// root in a container.
const root = "0:0"

// user is whom a container's process must be, in the container, for its files
// to belong to uid:gid outside.
func (i Info) user(uid, gid int) string {
	if i.Rootless {
		// The engine runs as the user, whom its containers know as root.
		return root
	}
	return fmt.Sprintf("%d:%d", uid, gid)
}

// userns is the user namespace for a container whose files are the user's.
func (i Info) userns() container.UsernsMode {
	if i.RemapsUsers && !i.Rootless {
		return "host" // remapped, no user of the container would be ours
	}
	return ""
}
