package terraform

import (
	"regexp"
	"strings"
	"testing"

	"weever/shared/testkit/tool"
)

// orders are what has to be there before something else, although nothing of it is written into the other: AWS refuses a balancer in a VPC
// without a gateway, and an instance that starts without a way out gives up. Being destroyed goes the other way round.
var orders = []struct{ first, then string }{
	{"module.network.aws_route.internet", "module.edge.aws_lb.this"},
	{"module.network.aws_route_table_association.public", "module.mediad.aws_autoscaling_group.this"},
	{"module.network.aws_route.nat", "module.bus.module.server.aws_instance.this"},
	{"module.network.aws_route_table_association.private", "module.discovery.module.server.aws_instance.this"},
	{"module.network.aws_vpc_endpoint.s3", "module.bus.module.server.aws_instance.this"},
	{"module.network.aws_vpc_security_group_egress_rule.this", "module.discovery.module.server.aws_instance.this"},
	{"module.bus.module.server.aws_iam_role_policy.boot", "module.bus.module.server.aws_instance.this"},
	{"module.mediad.aws_iam_role_policy.boot", "module.mediad.aws_autoscaling_group.this"},
	{"module.control.aws_iam_role_policy.network", "module.control.aws_lambda_function.this"},
	{"module.state.module.secret.aws_secretsmanager_secret_version.this", "module.mediad.aws_autoscaling_group.this"},
}

// edge has whole names: what is closed at the end waits for everything.
var edge = regexp.MustCompile(`"\[root\] (.+)" -> "\[root\] (.+)"`)

// misplaced are the orders that Terraform does not know of.
func misplaced(t *testing.T, w workspace) (list []string) {
	t.Helper()
	needs := map[string][]string{}
	for _, m := range edge.FindAllStringSubmatch(w.run(t, "graph"), -1) {
		needs[m[1]] = append(needs[m[1]], m[2])
	}
	for _, o := range orders {
		seen := map[string]bool{}
		for next := []string{o.then + " (expand)"}; len(next) > 0; next = next[1:] {
			if !seen[next[0]] {
				seen[next[0]] = true
				next = append(next, needs[next[0]]...)
			}
		}
		if !seen[o.first+" (expand)"] {
			list = append(list, o.then+" does not wait for "+o.first)
		}
	}
	return list
}

func TestThingsAreMadeInOrder(t *testing.T) {
	t.Parallel()
	for _, o := range misplaced(t, newWorkspace(t, "tofu")) {
		t.Error(o)
	}
	tool.Checked(t, "tofu", version(t, "tofu"), "the order in which infra/terraform makes things (graph)")

	found := strings.Join(misplaced(t, newWorkspace(
		t, "tofu",
		change{"modules/network/outputs.tf", "aws_route.internet, ", ""},
		change{"modules/network/outputs.tf", "aws_route.nat, ", ""},
		change{"modules/server/main.tf", "  depends_on = [aws_iam_role_policy.boot]\n", ""},
	)), "\n")
	for _, o := range []int{0, 2, 6} {
		if says := orders[o].then + " does not wait for " + orders[o].first; !strings.Contains(found, says) {
			t.Errorf("not found: %s; but:\n%s", says, found)
		}
	}
	tool.Checked(t, "tofu", version(t, "tofu"), "negative: three orders that are missing are found")
}
