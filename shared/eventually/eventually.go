// Package eventually lets tests wait for what nobody announces.
package eventually

import (
	"errors"
	"testing"
	"time"
)

// tick is how often is looked.
const tick = 2 * time.Millisecond

// True looks until ok says yes, or fails the test after limit, saying what it waited for.
func True(tb testing.TB, limit time.Duration, what string, ok func() bool) {
	tb.Helper()
	if !until(limit, ok) {
		tb.Fatalf("waited %v in vain for %s", limit, what)
	}
}

// Nil looks until check gives nil, or fails the test after limit, saying what it waited for and what was amiss last.
func Nil(tb testing.TB, limit time.Duration, what string, check func() error) {
	tb.Helper()
	if err := Try(limit, check); err != nil {
		tb.Fatalf("waited %v in vain for %s: %v", limit, what, err)
	}
}

// Try looks until check gives nil or limit is over, and returns what it gave last.
func Try(limit time.Duration, check func() error) error {
	err := errors.New("never looked")
	until(limit, func() bool {
		err = check()
		return err == nil
	})
	return err
}

func until(limit time.Duration, ok func() bool) bool {
	late := time.NewTimer(limit)
	defer late.Stop()
	again := time.NewTicker(tick)
	defer again.Stop()
	for !ok() {
		select {
		case <-again.C:
		case <-late.C:
			return false
		}
	}
	return true
}
