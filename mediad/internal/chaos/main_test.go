package chaos

import (
	"testing"

	"go.uber.org/goleak"
)

// Clients and whatever watches programs end with the test.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
