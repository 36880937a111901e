package snapshot

import "time"

// Trust makes a Copy believe the times of files that were made just before it.
func (c *Copy) Trust() { c.made = c.made.Add(time.Hour) }
