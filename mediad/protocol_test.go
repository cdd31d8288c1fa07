package main

import (
	"fmt"
	"os"
	"regexp"
	"testing"
)

// The page for writers of clients has a line for everything that the check looks at.
func TestProtocolPageIsComplete(t *testing.T) {
	page, err := os.ReadFile("../site/PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	for letter, last := range map[string]int{"W": 49, "E": 17} {
		for i := 1; i <= last; i++ {
			row := regexp.MustCompile(fmt.Sprintf(`(?m)^\| %s%d \| [^|]+ \|`, letter, i))
			if n := len(row.FindAll(page, -1)); n != 1 {
				t.Errorf("%s%d has %d rows", letter, i, n)
			}
		}
	}
}
