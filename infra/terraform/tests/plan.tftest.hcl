# The whole plan, with answers made up in place of AWS: terraform test, or tofu test. No account is needed.

mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_region" {
    defaults = { region = "eu-central-1" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
  }
  mock_data "aws_ssm_parameter" {
    defaults = { insecure_value = "ami-0123456789abcdef0" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/made-up" }
  }
  mock_resource "aws_iam_instance_profile" {
    defaults = { arn = "arn:aws:iam::123456789012:instance-profile/made-up" }
  }
  mock_resource "aws_secretsmanager_secret" {
    defaults = { arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:made-up" }
  }
  mock_resource "aws_secretsmanager_secret_version" {
    defaults = { arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:made-up" }
  }
  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0", latest_version = 1 }
  }
  mock_resource "aws_lb" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/weever/0123456789abcdef", dns_name = "weever-1.eu-central-1.elb.amazonaws.com" }
  }
  mock_resource "aws_lb_target_group" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/weever/0123456789abcdef" }
  }
  mock_resource "aws_lb_listener" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:listener/app/weever/0123456789abcdef/0123456789abcdef" }
  }
  mock_resource "aws_acm_certificate" {
    defaults = {
      arn                       = "arn:aws:acm:eu-central-1:123456789012:certificate/made-up"
      domain_validation_options = [{ domain_name = "live.example.org", resource_record_name = "_a.live.example.org.", resource_record_type = "CNAME", resource_record_value = "_b.acm-validations.aws." }]
    }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:eu-central-1:123456789012:log-group:/weever/weever/made-up" }
  }
  mock_resource "aws_lambda_function" {
    defaults = {
      arn        = "arn:aws:lambda:eu-central-1:123456789012:function:made-up"
      invoke_arn = "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-central-1:123456789012:function:made-up/invocations"
    }
  }
  mock_resource "aws_apigatewayv2_api" {
    defaults = { api_endpoint = "https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com", execution_arn = "arn:aws:execute-api:eu-central-1:123456789012:a1b2c3d4e5" }
  }
  mock_resource "aws_elasticache_replication_group" {
    defaults = { primary_endpoint_address = "master.weever.abcdef.euc1.cache.amazonaws.com" }
  }
}

mock_provider "random" {
  mock_resource "random_password" {
    defaults = { result = "made0up0made0up0made0up0made0up0" }
  }
  mock_resource "random_bytes" {
    defaults = { base64 = "bWFkZSB1cCBtYWRlIHVwIG1hZGUgdXAgbWFkZSB1cCE=" }
  }
}

mock_provider "tls" {
  mock_resource "tls_private_key" {
    defaults = { private_key_pem = "-----BEGIN EC PRIVATE KEY-----\nmade up\n-----END EC PRIVATE KEY-----\n" }
  }
  mock_resource "tls_self_signed_cert" {
    defaults = { cert_pem = "-----BEGIN CERTIFICATE-----\nmade up authority\n-----END CERTIFICATE-----\n" }
  }
  mock_resource "tls_locally_signed_cert" {
    defaults = { cert_pem = "-----BEGIN CERTIFICATE-----\nmade up server\n-----END CERTIFICATE-----\n" }
  }
}

variables {
  aws_region      = "eu-central-1"
  domain_name     = "live.example.org"
  route53_zone_id = "Z0123456789ABCDEFGHIJ"
  mediad_package = {
    url    = "s3://weever-packages/mediad_1.0.0_arm64.tar.gz"
    sha256 = "0000000000000000000000000000000000000000000000000000000000000001"
  }
  consul_package = {
    url    = "s3://weever-packages/consul_1.22.7_arm64.tar.gz"
    sha256 = "0000000000000000000000000000000000000000000000000000000000000002"
  }
  nats_package = {
    url    = "s3://weever-packages/nats-server_2.15.2_arm64.tar.gz"
    sha256 = "0000000000000000000000000000000000000000000000000000000000000003"
  }
}
# ---- end of what all runs share

run "everything" {
  command = apply

  assert {
    condition     = output.public_url == "https://live.example.org" && startswith(output.control_url, "https://")
    error_message = "The outputs are not URLs."
  }
  assert {
    condition     = tolist(output.nats_endpoints) == tolist(["tls://10.42.128.10:4222", "tls://10.42.144.10:4222", "tls://10.42.128.11:4222"])
    error_message = "The bus is elsewhere."
  }
  assert {
    condition     = output.consul_endpoints == tolist(["10.42.128.30", "10.42.144.30", "10.42.128.31"])
    error_message = "Discovery is elsewhere."
  }
  assert {
    condition     = output.redis_secret_arn != "" && output.balancer_name != "" && output.group == "weever-nodes"
    error_message = "An output is empty."
  }
}

run "three_zones_and_a_certificate_that_is_there" {
  command = apply
  variables {
    availability_zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
    nat_gateways       = "each_zone"
    route53_zone_id    = ""
    certificate_arn    = "arn:aws:acm:eu-central-1:123456789012:certificate/0"
    scale_egress_mbps  = 400
    nodes_min          = 3
    kms_key_arn        = "arn:aws:kms:eu-central-1:123456789012:key/0"
  }
  assert {
    condition     = length(distinct(output.nats_endpoints)) == 3
    error_message = "Two servers have one address."
  }
}

run "backends_that_are_there" {
  command = apply
  variables {
    nats         = { secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:nats" }
    consul       = { retry_join = ["10.9.0.1"], secret_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:gossip", ca_pem = "given" }
    nats_package = null
  }
  assert {
    condition     = length(output.nats_endpoints) == 0 && output.consul_endpoints == tolist(["10.9.0.1"])
    error_message = "Servers are made although some are given."
  }
}
