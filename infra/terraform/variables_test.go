package terraform

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"weever/shared/testkit/tool"
)

// refusals are values that people get wrong, and what they are told.
var refusals = []struct{ set, says string }{
	{`vpc_cidr = "10.42.0.0/33"`, `vpc_cidr is "10.42.0.0/33", which is no range from /16 to /20`},
	{`vpc_cidr = "10.42.0.0/28"`, `which is no range from /16 to /20`},
	{`vpc_cidr = "10.42.0.1/16"`, `that range begins at another address`},
	{`availability_zones = ["eu-central-1a"]`, `availability_zones names one zone`},
	{`availability_zones = ["eu-central-1a", "us-east-1a"]`, `must be different zones of eu-central-1`},
	{`zone_count = 1`, `zone_count is 1: the balancer and the store's failover need two zones`},
	{`nodes_min = 0`, `nodes_min is 0: at least one node is needed`},
	{`nodes_max = 1`, `nodes_max is 1, less than nodes_min, which is 2`},
	{`nodes_max = 2.5`, `nodes_max is 2.5: a whole number`},
	{`route53_zone_id = ""`, `There is no certificate: give certificate_arn, or route53_zone_id`},
	{`route53_zone_id = "example.org"`, `the id of a zone begins with Z`},
	{`certificate_arn = "live.example.org"`, `certificate_arn is no ARN of an ACM certificate`},
	{`domain_name = "https://live.example.org/"`, `give a host name alone`},
	{`aws_region = "Frankfurt"`, `which is no name of a region`},
	{`media_port = 70000`, `media_port is 70000: a port is a whole number from 1 to 65535`},
	{`http_port = 0`, `http_port is 0: a port`},
	{`private_port = 8443`, `private_port and http_port are both 8443`},
	{`node_instance_type = "c7i.large"`, `mediad_package.url is not for amd64, which c7i.large is`},
	{`node_instance_type = "large"`, `which is no type of EC2 instances`},
	{`consul_instance_type = "t3.small"`, `whose architecture is not that of c7g.large`},
	{`mediad_package = { url = "mediad_arm64.deb", sha256 = "0" }`, `give an s3:// or https:// URL`},
	{`mediad_package = { url = "s3://b/mediad_1_arm64.deb", sha256 = "0" }`, `mediad_package.sha256 is no SHA-256`},
	{`consul_package = { url = "s3://b/consul_1_amd64.tar.gz", sha256 = "` + strings.Repeat("0", 64) + `" }`, `consul_package.url is not for arm64, which c7g.large is`},
	{`nats_instance_type = "c7i.large"`, `nats_package.url is not for amd64, which c7i.large is`},
	{`nats_package = null`, `There is no bus: give nats_package`},
	{`nats_servers = 2`, `nats_servers is 2: 1, 3 or 5`},
	{`consul_servers = 2`, `consul_servers is 2: 1, 3 or 5, for they vote`},
	{`drain_timeout_seconds = 8000`, `AWS waits for two hours at most`},
	{`state_node_type = "t4g.small"`, `types of ElastiCache begin with cache.`},
	{`state_engine_version = "7.2"`, `Valkey 8.0 or newer`},
	{`cors_domains = ["https://example.org"]`, `write domains alone`},
	{`node_settings = { WEEVER_JWT_SECRET = "x" }`, `no secrets, no backends`},
	{`node_settings = { WEEVER_NO_AUTH = "true" }`, `neither WEEVER_DEV nor WEEVER_NO_AUTH`},
	{`node_settings = { MAX_SESSIONS = "1" }`, `names are like WEEVER_MAX_SESSIONS`},
	{`zip_dir = "/nowhere"`, `are not all to be found: run make package first`},
	{`name = "Weever_1"`, `small letters, digits and single dashes`},
	{`name = "internal-live"`, `AWS keeps names that begin with sg-, internal- and aws-`},
	{`log_retention_days = 31`, `CloudWatch knows 1, 3, 5`},
	{`kms_key_arn = "alias/weever"`, `is no ARN of a KMS key`},
}

func TestWrongVariablesAreRefusedByName(t *testing.T) {
	t.Parallel()
	program := "tofu"
	head := answers(t)
	files := []change{{file: "tests/plan.tftest.hcl", new: "# not now\n"}}
	for i, r := range refusals {
		files = append(files, change{file: fmt.Sprintf("tests/wrong%02d.tftest.hcl", i), new: head + fmt.Sprintf("run \"wrong\" {\n  command = plan\n  variables {\n    %s\n  }\n}\n", r.set)})
	}
	w := newWorkspace(t, program, files...)
	said := map[string]string{}
	for _, m := range messages(t, w.refused(t, "test", "-json")) {
		if m.Type == "diagnostic" {
			said[filepath.ToSlash(m.File)] += m.Diagnostic.Detail + "\n"
		}
	}
	for i, r := range refusals {
		got := strings.ReplaceAll(said[files[i+1].file], "\n", " ")
		if !strings.Contains(got, r.says) {
			t.Errorf("%s: not told %q but: %s", r.set, r.says, got)
		}
	}
	tool.Checked(t, program, version(t, program), fmt.Sprintf("%d wrong values of infra/terraform's variables are refused by name", len(refusals)))
}
