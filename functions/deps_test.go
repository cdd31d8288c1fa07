// Package functions_test runs the Lambdas of this folder as the cloud does: their real bootstraps, real events, a real Redis.
package functions_test

import (
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A function that drags in the media plane starts slowly, and nobody notices it in a review.
func TestFunctionsDoNotLinkTheMediaPlane(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-tags=lambda.norpc", "weever/functions/...")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	deps := strings.Fields(string(out))
	linked := map[string]bool{}
	for _, d := range deps {
		linked[d] = true
		for _, bad := range []string{
			"github.com/pion/", "github.com/nats-io/", "github.com/hashicorp/", "github.com/prometheus/", "github.com/alicebob/",
			"weever/mediad", "weever/shared/events", "weever/shared/nodes", "weever/shared/testkit", "net/rpc", "testing", "net/http/httptest",
		} {
			if d == strings.TrimSuffix(bad, "/") || strings.HasPrefix(d, strings.TrimSuffix(bad, "/")+"/") {
				t.Errorf("functions link %s", d)
			}
		}
	}
	for _, must := range []string{"weever/functions/create", "weever/functions/list", "weever/functions/kick", "weever/shared/controlapi"} {
		if !linked[must] {
			t.Errorf("%s is not among the packages that were looked at", must)
		}
	}
}
