//go:build !unix

package admission

import "time"

// processTime is not known: this system does not tell.
func processTime() (time.Duration, bool) { return 0, false }
