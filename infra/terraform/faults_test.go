package terraform

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// actions are all that the policies here may allow. What is not in this list is a mistake or has to be thought about.
var actions = map[string]bool{
	"sts:AssumeRole": true, "secretsmanager:GetSecretValue": true, "s3:GetObject": true, "kms:Decrypt": true,
	"autoscaling:CompleteLifecycleAction": true, "logs:CreateLogStream": true, "logs:PutLogEvents": true,
	"ec2:CreateNetworkInterface": true, "ec2:DescribeNetworkInterfaces": true, "ec2:DescribeSubnets": true,
	"ec2:DeleteNetworkInterface": true, "ec2:AssignPrivateIpAddresses": true, "ec2:UnassignPrivateIpAddresses": true,
}

var graviton = regexp.MustCompile(`^(cache\.)?[a-z]+[0-9]+g[a-z]*\.`)

// words are values that the providers check and their schemas do not tell.
var words = []struct {
	kind    string
	path    []string
	allowed []string
}{
	{"aws_instance", []string{"root_block_device", "volume_type"}, []string{"gp3"}},
	{"aws_launch_template", []string{"block_device_mappings", "ebs", "volume_type"}, []string{"gp3"}},
	{"aws_autoscaling_group", []string{"initial_lifecycle_hook", "lifecycle_transition"}, []string{"autoscaling:EC2_INSTANCE_LAUNCHING"}},
	{"aws_autoscaling_group", []string{"initial_lifecycle_hook", "default_result"}, []string{"ABANDON"}},
	{"aws_autoscaling_group", []string{"health_check_type"}, []string{"EC2"}},
	{"aws_autoscaling_group", []string{"instance_refresh", "strategy"}, []string{"Rolling"}},
	{"aws_autoscaling_lifecycle_hook", []string{"lifecycle_transition"}, []string{"autoscaling:EC2_INSTANCE_TERMINATING"}},
	{"aws_autoscaling_lifecycle_hook", []string{"default_result"}, []string{"CONTINUE"}},
	{"aws_autoscaling_policy", []string{"policy_type"}, []string{"TargetTrackingScaling"}},
	{"aws_autoscaling_policy", []string{"target_tracking_configuration", "predefined_metric_specification", "predefined_metric_type"}, []string{"ASGAverageCPUUtilization", "ASGAverageNetworkOut"}},
	{"aws_elasticache_replication_group", []string{"engine"}, []string{"valkey"}},
	{"aws_elasticache_replication_group", []string{"transit_encryption_mode"}, []string{"required"}},
	{"aws_elasticache_replication_group", []string{"auth_token_update_strategy"}, []string{"SET", "ROTATE"}},
	{"aws_elasticache_parameter_group", []string{"family"}, []string{"valkey8"}},
	{"aws_lambda_function", []string{"runtime"}, []string{"provided.al2023"}},
	{"aws_apigatewayv2_api", []string{"protocol_type"}, []string{"HTTP"}},
	{"aws_apigatewayv2_route", []string{"authorization_type"}, []string{"AWS_IAM"}},
	{"aws_apigatewayv2_integration", []string{"integration_type"}, []string{"AWS_PROXY"}},
	{"aws_lb", []string{"load_balancer_type"}, []string{"application"}},
	{"aws_lb_listener", []string{"protocol"}, []string{"HTTPS"}},
	{"aws_lb_listener", []string{"ssl_policy"}, []string{"ELBSecurityPolicy-TLS13-1-2-2021-06"}},
	{"aws_lb_listener", []string{"default_action", "type"}, []string{"forward"}},
	{"aws_lb_target_group", []string{"protocol"}, []string{"HTTPS"}},
	{"aws_lb_target_group", []string{"load_balancing_algorithm_type"}, []string{"round_robin"}},
	{"aws_acm_certificate", []string{"validation_method"}, []string{"DNS"}},
	{"aws_vpc_endpoint", []string{"vpc_endpoint_type"}, []string{"Gateway"}},
	{"aws_eip", []string{"domain"}, []string{"vpc"}},
	{"aws_route53_record", []string{"type"}, []string{"A", "CNAME"}},
	{"tls_private_key", []string{"algorithm"}, []string{"ECDSA"}},
	{"tls_private_key", []string{"ecdsa_curve"}, []string{"P256"}},
}

// truths are switches that have to be on, or off.
var truths = []struct {
	kind string
	path []string
	want string
}{
	{"aws_instance", []string{"root_block_device", "encrypted"}, "true"},
	{"aws_instance", []string{"metadata_options", "http_tokens"}, "required"},
	{"aws_launch_template", []string{"block_device_mappings", "ebs", "encrypted"}, "true"},
	{"aws_launch_template", []string{"metadata_options", "http_tokens"}, "required"},
	{"aws_elasticache_replication_group", []string{"at_rest_encryption_enabled"}, "true"},
	{"aws_elasticache_replication_group", []string{"transit_encryption_enabled"}, "true"},
	{"aws_elasticache_replication_group", []string{"automatic_failover_enabled"}, "true"},
	{"aws_elasticache_replication_group", []string{"auto_minor_version_upgrade"}, "false"},
	{"aws_autoscaling_group", []string{"instance_maintenance_policy", "min_healthy_percentage"}, "100"},
	{"aws_subnet", []string{"map_public_ip_on_launch"}, "false"},
	{"aws_lb", []string{"drop_invalid_header_fields"}, "true"},
}

// faults is what is wrong with what would be made, as far as no schema tells.
func faults(t *testing.T, made []resource) (list []string) {
	t.Helper()
	fault := func(r resource, format string, args ...any) {
		list = append(list, r.Address+": "+fmt.Sprintf(format, args...))
	}
	for _, r := range made {
		if r.Mode != "managed" {
			continue
		}
		for _, w := range words {
			if v := r.text(w.path...); w.kind == r.Type && !slices.Contains(w.allowed, v) {
				fault(r, "%s is %q, not one of %q", strings.Join(w.path, "."), v, w.allowed)
			}
		}
		for _, w := range truths {
			if v := r.text(w.path...); w.kind == r.Type && v != w.want {
				fault(r, "%s is %q, not %s", strings.Join(w.path, "."), v, w.want)
			}
		}
		for _, problem := range append(open(r), overmighty(t, r)...) {
			fault(r, "%s", problem)
		}
		if kind := r.text("instance_type") + r.text("node_type"); kind != "" && !graviton.MatchString(kind) {
			fault(r, "%s is not Graviton", kind)
		}
		if r.Type == "aws_autoscaling_lifecycle_hook" && r.text("heartbeat_timeout") != "420" {
			fault(r, "its heartbeat_timeout of %s is not the drain's 300 s and two minutes", r.text("heartbeat_timeout"))
		}
	}
	return list
}

// open tells what lets in the world, but for HTTPS and media.
func open(r resource) (list []string) {
	if r.Type != "aws_vpc_security_group_ingress_rule" || (r.text("cidr_ipv4") == "" && r.text("cidr_ipv6") == "") {
		return nil
	}
	what := r.text("ip_protocol") + "/" + r.text("from_port") + "-" + r.text("to_port")
	if what != "tcp/443-443" && what != "udp/8443-8443" {
		list = append(list, what+" is open to "+r.text("cidr_ipv4"))
	}
	return list
}

// overmighty tells what a policy allows beyond what is known to be needed.
func overmighty(t *testing.T, r resource) (list []string) {
	t.Helper()
	if !strings.HasPrefix(r.Type, "aws_iam_") {
		return nil
	}
	for _, key := range []string{"policy", "assume_role_policy"} {
		text := r.text(key)
		if text == "" {
			continue
		}
		var p struct {
			Statement []struct{ Effect, Action, Resource, Condition any }
		}
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatalf("%s: %v: %s", r.Address, err, text)
		}
		allowed, denied := false, false
		for _, s := range p.Statement {
			network := strings.Contains(fmt.Sprint(s.Action), "NetworkInterface")
			allowed = allowed || network && s.Effect == "Allow"
			denied = denied || network && s.Effect == "Deny" && strings.Contains(fmt.Sprint(s.Condition), "lambda:SourceFunctionArn")
			for _, a := range each(s.Action) {
				if !actions[a] {
					list = append(list, a+" is no action that is known to be needed")
				}
			}
			for _, on := range each(s.Resource) {
				if on == "*" && !network {
					list = append(list, "it allows "+fmt.Sprint(s.Action)+" on everything")
				}
			}
		}
		if allowed && !denied {
			list = append(list, "a function's own code may do what Lambda does with network interfaces")
		}
	}
	return list
}

// each is a value that may be one or several.
func each(v any) (list []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, one := range v {
			list = append(list, fmt.Sprint(one))
		}
	}
	return list
}
