# The state of rooms: Valkey with TLS and a password, a replica in another zone, and the URL of it all as a secret.

resource "random_password" "this" {
  length  = 64
  special = false # it stands in a URL
}

resource "aws_elasticache_subnet_group" "this" {
  name        = var.name
  description = "Private subnets of ${var.name}"
  subnet_ids  = var.subnet_ids
}

resource "aws_elasticache_parameter_group" "this" {
  name        = "${var.name}-${replace(var.engine_version, ".", "-")}"
  family      = "valkey${split(".", var.engine_version)[0]}"
  description = "Valkey of ${var.name}"

  # A full store refuses new sessions. One that evicts forgets people who are there.
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_elasticache_replication_group" "this" {
  replication_group_id       = var.name
  description                = "Weever: state of rooms, tokens, kicks"
  engine                     = "valkey"
  engine_version             = var.engine_version
  node_type                  = var.node_type
  num_cache_clusters         = 1 + var.replicas
  automatic_failover_enabled = var.replicas > 0
  multi_az_enabled           = var.replicas > 0
  port                       = 6379
  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [var.security_group_id]
  parameter_group_name       = aws_elasticache_parameter_group.this.name
  at_rest_encryption_enabled = true
  kms_key_id                 = var.kms_key_arn
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  auth_token                 = random_password.this.result
  auth_token_update_strategy = "ROTATE"
  snapshot_retention_limit   = var.snapshot_days
  # After an upgrade of AWS' own making Terraform would put an empty store of the older version in its place.
  auto_minor_version_upgrade = false
  apply_immediately          = false
}

locals {
  url = "rediss://:${random_password.this.result}@${aws_elasticache_replication_group.this.primary_endpoint_address}:6379"
}

# The key "url" is what template.yaml asks for, too: the functions can be deployed by SAM beside these nodes.
module "secret" {
  source        = "../secret"
  name          = "${var.name}/redis"
  description   = "--redis of mediad and WEEVER_REDIS of the functions"
  text          = jsonencode({ url = local.url })
  recovery_days = var.secret_recovery_days
  kms_key_arn   = var.kms_key_arn
}
