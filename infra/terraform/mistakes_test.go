package terraform

import (
	"path/filepath"
	"strings"
	"testing"

	"weever/shared/testkit/tool"
)

// Each kind of check finds a mistake that is planted for it.

func TestMistakesThatValidateFinds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, says string
		change     change
	}{
		{"unknown argument", "Unsupported argument", change{"modules/edge/main.tf", "drop_invalid_header_fields =", "drop_invalid_headers ="}},
		{"wrong type", "a number is required", change{"modules/edge/main.tf", "port              = 443", `port              = "https"`}},
		{"missing required argument", "Missing required argument", change{"modules/mediad/main.tf", "  lifecycle_transition   = \"autoscaling:EC2_INSTANCE_TERMINATING\"\n", ""}},
		{"unknown resource", "Reference to undeclared resource", change{"modules/edge/main.tf", "load_balancer_arn = aws_lb.this.arn", "load_balancer_arn = aws_lb.that.arn"}},
		{"unknown attribute", "Unsupported attribute", change{"modules/edge/outputs.tf", "aws_lb.this.dns_name", "aws_lb.this.host_name"}},
		{"unknown block", "Unsupported block type", change{"modules/server/main.tf", "  root_block_device {", "  root_device {"}},
		{"unknown type of resource", "Invalid resource type", change{"modules/state/main.tf", `resource "aws_elasticache_subnet_group" "this"`, `resource "aws_elasticcache_subnet_group" "this"`}},
		{"two blocks where one may be", "Too many metadata_options blocks", change{"modules/server/main.tf", "  metadata_options {", "  metadata_options {}\n  metadata_options {"}},
		{"missing variable of a module", "Missing required argument", change{"main.tf", "  security_group_id  = module.network.groups[\"control\"]\n", ""}},
		{"version that nobody has", "", change{"versions.tf", "~> 6.25", "~> 99.0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := workspace{dir: copyFiles(t), program: "tofu"}
			c.change.apply(t, w.dir)
			w.call = tool.Call{Dir: w.dir, Env: environment(t)}
			if c.says == "" {
				if said := w.refused(t, "init", "-backend=false", "-no-color"); !strings.Contains(said, "no available releases match") {
					t.Errorf("init said %s", said)
				}
				return
			}
			w.run(t, "init", "-backend=false", "-no-color")
			if said := w.refused(t, "validate", "-no-color"); !strings.Contains(said, c.says) {
				t.Errorf("validate did not say %q but: %s", c.says, said)
			}
		})
	}
	tool.Checked(t, "tofu", version(t, "tofu"), "negative: init and validate find ten planted mistakes")
}

func TestMistakesThatLintersFind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, tool, says string
		change           change
	}{
		{"badly formatted", "tofu", "main.tf", change{"main.tf", "  name               = var.name\n  vpc_cidr", "  name = var.name\n  vpc_cidr"}},
		{"variable that nobody uses", "tflint", "terraform_unused_declarations", change{"modules/edge/outputs.tf", "output \"dns_name\" {", "variable \"idle\" {\n  type        = number\n  description = \"Unused.\"\n}\n\noutput \"dns_name\" {"}},
		{"output without description", "tflint", "terraform_documented_outputs", change{"modules/edge/outputs.tf", "  description = \"Name of the balancer: what the domain must point to.\"\n", ""}},
		{"SSH open to the world", "tfsec", "aws-vpc-no-public-ingress-sgr", change{"modules/network/firewall.tf", "  vpc_id      = aws_vpc.this.id\n", "  vpc_id      = aws_vpc.this.id\n  ingress {\n    description = \"SSH\"\n    protocol    = \"tcp\"\n    from_port   = 22\n    to_port     = 22\n    cidr_blocks = [\"0.0.0.0/0\"]\n  }\n"}},
		{"unencrypted disk", "tfsec", "aws-ec2-enable-at-rest-encryption", change{"modules/server/main.tf", "encrypted   = true", "encrypted   = false"}},
		{"IMDSv1", "tfsec", "aws-ec2-enforce-http-token-imds", change{"modules/server/main.tf", `http_tokens                 = "required"`, `http_tokens                 = "optional"`}},
		{"store without TLS", "tfsec", "aws-elasticache-enable-in-transit-encryption", change{"modules/state/main.tf", "transit_encryption_enabled = true", "transit_encryption_enabled = false"}},
		{"balancer without HTTPS", "tfsec", "aws-elb-http-not-used", change{"modules/edge/main.tf", "  protocol          = \"HTTPS\"\n  ssl_policy", "  protocol          = \"HTTP\"\n  ssl_policy"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := copyFiles(t)
			c.change.apply(t, dir)
			call := tool.Call{Dir: dir, Env: environment(t)}
			args := map[string][]string{
				"tofu": {"fmt", "-check", "-recursive"}, "tflint": {"--recursive", "--config=" + filepath.Join(dir, ".tflint.hcl")}, "tfsec": {".", "--no-color"},
			}[c.tool]
			if said := call.Refused(t, c.tool, args...); !strings.Contains(said, c.says) {
				t.Errorf("%s did not say %q but: %s", c.tool, c.says, said)
			}
		})
	}
	tool.Checked(t, "tfsec, tflint and tofu fmt", "", "negative: they find eight planted mistakes")
}

func TestWhatIsMadeIsRight(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, "tofu")
	made := w.made(t, "tests/plan.tftest.hcl")
	for _, f := range faults(t, made) {
		t.Error(f)
	}
	// What is looked at has to be there, or looking says nothing.
	types := map[string]bool{}
	for _, r := range made {
		types[r.Type] = true
	}
	for _, word := range words {
		if !types[word.kind] {
			t.Errorf("there is no %s, whose %s is looked at", word.kind, strings.Join(word.path, "."))
		}
	}
	tool.Checked(t, "tofu", version(t, "tofu"), "words, switches, ingress and policies in the plan of infra/terraform")
}

func TestMistakesInWhatIsMade(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, "tofu",
		change{"modules/network/firewall.tf", "    https         = {", "    ssh           = { group = \"nodes\", peer = local.world, protocol = \"tcp\", port = 22, what = \"SSH\" }\n    https         = {"},
		change{"modules/mediad/main.tf", "encrypted             = true", "encrypted             = false"},
		change{"modules/mediad/main.tf", `volume_type           = "gp3"`, `volume_type           = "gp9"`},
		change{"modules/mediad/main.tf", `"autoscaling:EC2_INSTANCE_TERMINATING"`, `"autoscaling:EC2_INSTANCE_TERMINATED"`},
		change{"modules/state/main.tf", `"valkey"`, `"valkie"`},
		change{"modules/mediad/iam.tf", `Action   = "secretsmanager:GetSecretValue"`, `Action   = "secretsmanager:*"`},
		change{"modules/server/main.tf", `Action = "s3:GetObject", Resource = var.package_arn`, `Action = "s3:GetObject", Resource = "*"`},
		change{"modules/control/main.tf", `Effect    = "Deny"`, `Effect    = "Allow"`},
		change{"modules/state/main.tf", "auto_minor_version_upgrade = false", "auto_minor_version_upgrade = true"},
		change{"modules/control/main.tf", `authorization_type = "AWS_IAM"`, `authorization_type = "NONE"`},
		change{"variables_backends.tf", `default     = "cache.t4g.small"`, `default     = "cache.t3.small"`},
		change{"modules/mediad/main.tf", "heartbeat_timeout      = var.drain_timeout_seconds + 120", "heartbeat_timeout      = 30"},
	)
	found := strings.Join(faults(t, w.made(t, "tests/plan.tftest.hcl")), "\n")
	for _, says := range []string{
		`tcp/22-22 is open to 0.0.0.0/0`,
		`block_device_mappings.ebs.encrypted is "false"`,
		`block_device_mappings.ebs.volume_type is "gp9"`,
		`lifecycle_transition is "autoscaling:EC2_INSTANCE_TERMINATED"`,
		`engine is "valkie"`,
		`secretsmanager:* is no action`,
		`it allows s3:GetObject on everything`,
		`a function's own code may do what Lambda does`,
		`auto_minor_version_upgrade is "true"`,
		`authorization_type is "NONE"`,
		`cache.t3.small is not Graviton`,
		`heartbeat_timeout of 30`,
	} {
		if !strings.Contains(found, says) {
			t.Errorf("not found: %s", says)
		}
	}
	if t.Failed() {
		t.Log(found)
	}
	tool.Checked(t, "tofu", version(t, "tofu"), "negative: twelve planted mistakes in what is made are found")
}
