// Package backoff decides how long a tracker waits before it sends again.
package backoff

import "time"

// First is the wait after the first refusal; each further one doubles it.
const First = 4 * time.Second

// Longest is never exceeded: a vehicle must not be silent for longer than the operators' alarm allows.
const Longest = 15 * time.Minute

// Wait gives the wait before the given attempt, counted from one. The last digits of the serial number spread
// trackers over a second, so that a region that comes back is not met by all of them at once.
func Wait(attempt int, serial uint64) time.Duration {
	wait := First
	for i := 1; i < attempt && wait < Longest; i++ {
		wait *= 2
	}
	if wait > Longest {
		wait = Longest
	}
	return wait + time.Duration(serial%1000)*time.Millisecond
}
