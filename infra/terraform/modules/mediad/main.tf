# The media nodes: a group that grows and shrinks with their load. cloud-init makes a node of each instance; it counts as in service when
# /readiness says so, and leaves by draining.

locals {
  group        = "${var.name}-nodes"
  architecture = can(regex("^[a-z]+[0-9]+g[a-z]*\\.", var.instance_type)) ? "arm64" : "x86_64"
  hooks        = { launch = "ready", terminate = "drain" }

  # Flags of mediad, none of them secret. var.settings comes first: what the instance's surroundings fix is not the operator's to change.
  environment = merge(var.settings, {
    WEEVER_PORT            = var.http_port
    WEEVER_UDP_PORT        = var.media_port
    WEEVER_PRIVATE_HOST    = "0.0.0.0"
    WEEVER_PRIVATE_PORT    = var.private_port
    WEEVER_PUBLIC_IP       = "auto"
    WEEVER_CONSUL          = "127.0.0.1:8500"
    WEEVER_NAMESPACE       = var.namespace
    WEEVER_REGION          = var.region
    WEEVER_TRUSTED_PROXIES = join(",", var.proxy_cidrs)
    WEEVER_CORS_DOMAIN     = join(",", var.cors_domains)
    WEEVER_DRAIN_TIMEOUT   = "${var.drain_timeout_seconds}s"
    WEEVER_LOG_FORMAT      = "json"
  }, var.nats_ca_pem == "" ? {} : { WEEVER_NATS_CA_FILE = "/etc/weever/nats-ca.pem" })

  scripts = { "lib.sh" = "${path.module}/../../files/lib.sh", "boot.sh" = "${path.module}/files/boot.sh", "drain.sh" = "${path.module}/files/drain.sh" }
  files = concat(
    [for name, file in local.scripts : { path = "/opt/weever/${name}", permissions = "0755", content = file(file) }],
    var.consul_files,
    var.nats_ca_pem == "" ? [] : [{ path = "/etc/weever/nats-ca.pem", permissions = "0644", content = var.nats_ca_pem }],
    [
      { path = "/etc/weever/mediad.env", permissions = "0644", content = join("", [for k, v in local.environment : "${k}=${v}\n" if v != ""]) },
      { path = "/etc/systemd/system/mediad.service.d/10-node.conf", permissions = "0644", content = "${file("${path.module}/files/10-node.conf")}TimeoutStopSec=${var.drain_timeout_seconds + 60}\n" },
      { path = "/etc/systemd/system/weever-drain.service", permissions = "0644", content = file("${path.module}/files/weever-drain.service") },
      { path = "/etc/weever/boot.env", permissions = "0644", content = join("", [for k, v in local.boot : "${k}='${v}'\n"]) },
    ],
  )
  boot = {
    AWS_DEFAULT_REGION = data.aws_region.here.region
    MEDIAD_URL         = var.package.url
    MEDIAD_SHA256      = var.package.sha256
    CONSUL_URL         = var.consul_package.url
    CONSUL_SHA256      = var.consul_package.sha256
    REDIS_SECRET       = var.secrets.redis
    NATS_SECRET        = var.secrets.nats
    GOSSIP_SECRET      = var.secrets.gossip
    ADMIN_SECRET       = module.admin.arn
    PRIVATE_PORT       = var.private_port
    GROUP              = local.group
    LAUNCH_HOOK        = local.hooks.launch
    TERMINATE_HOOK     = local.hooks.terminate
  }
  # cloud-init writes the files, then runs the script.
  user_data = join("\n", ["#cloud-config", jsonencode({ write_files = local.files, runcmd = [["/opt/weever/boot.sh"]] })])
}

data "aws_ssm_parameter" "image" {
  name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-${local.architecture}"
}

data "aws_region" "here" {}

data "aws_caller_identity" "here" {}

resource "random_password" "admin" {
  length  = 48
  special = false
}

module "admin" {
  source        = "../secret"
  name          = "${var.name}/admin-token"
  description   = "--admin-token of mediad: bearer of its private API"
  text          = random_password.admin.result
  recovery_days = var.secret_recovery_days
  kms_key_arn   = var.kms_key_arn
}

resource "aws_launch_template" "this" {
  name                   = local.group
  description            = "Weever media node"
  image_id               = var.image_id != "" ? var.image_id : data.aws_ssm_parameter.image.insecure_value
  instance_type          = var.instance_type
  update_default_version = true
  user_data              = base64encode(local.user_data)

  iam_instance_profile {
    arn = aws_iam_instance_profile.this.arn
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  # Clients talk to the node itself, so it has an address of its own; the security group lets in the media port alone.
  network_interfaces {
    associate_public_ip_address = true
    delete_on_termination       = true
    security_groups             = [var.security_group_id]
  }

  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      encrypted             = true
      kms_key_id            = var.kms_key_arn
      volume_type           = "gp3"
      volume_size           = 10
      delete_on_termination = true
    }
  }

  # Scaling looks at the last minute, not at the last five.
  monitoring {
    enabled = true
  }

  tag_specifications {
    resource_type = "instance"
    tags          = merge(var.tags, { Name = local.group })
  }

  tag_specifications {
    resource_type = "volume"
    tags          = merge(var.tags, { Name = local.group })
  }

  lifecycle {
    precondition {
      # length() counts characters; 21848 is what 16384 bytes have in base64.
      condition     = length(base64encode(local.user_data)) <= 21848
      error_message = "The user-data of a node has ${floor(length(base64encode(local.user_data)) * 3 / 4)} bytes, EC2 takes 16384: shorten node_settings."
    }
  }
}

resource "aws_autoscaling_group" "this" {
  name                = local.group
  min_size            = var.nodes_min
  max_size            = var.nodes_max
  vpc_zone_identifier = var.subnet_ids
  target_group_arns   = [var.target_group_arn]
  # Not ELB: a node that is full or drains answers the balancer with 503, and is as it should be.
  health_check_type         = "EC2"
  default_instance_warmup   = 60
  wait_for_capacity_timeout = "15m"
  max_instance_lifetime     = var.max_node_days * 86400

  launch_template {
    id      = aws_launch_template.this.id
    version = aws_launch_template.this.latest_version
  }

  # The node says itself that it is ready. This one is for the first nodes, too, so it is made with the group.
  initial_lifecycle_hook {
    name                 = local.hooks.launch
    lifecycle_transition = "autoscaling:EC2_INSTANCE_LAUNCHING"
    default_result       = "ABANDON"
    heartbeat_timeout    = 600
  }

  # Whyever a node is replaced, the new one comes first.
  instance_maintenance_policy {
    min_healthy_percentage = 100
    max_healthy_percentage = 150
  }

  # A new version: new nodes first, then the old ones drain.
  instance_refresh {
    strategy = "Rolling"
    preferences {
      min_healthy_percentage = 100
      max_healthy_percentage = 150
      auto_rollback          = true
    }
  }

  tag {
    key                 = "Name"
    value               = local.group
    propagate_at_launch = true
  }

  lifecycle {
    precondition {
      condition     = var.nodes_min <= var.nodes_max
      error_message = "nodes_min is ${var.nodes_min}, more than nodes_max, which is ${var.nodes_max}."
    }
  }

  depends_on = [aws_iam_role_policy.boot]
}

# And it says when it is empty.
resource "aws_autoscaling_lifecycle_hook" "drain" {
  name                   = local.hooks.terminate
  autoscaling_group_name = aws_autoscaling_group.this.name
  lifecycle_transition   = "autoscaling:EC2_INSTANCE_TERMINATING"
  default_result         = "CONTINUE"
  heartbeat_timeout      = var.drain_timeout_seconds + 120
}

resource "aws_autoscaling_policy" "cpu" {
  name                   = "cpu"
  autoscaling_group_name = aws_autoscaling_group.this.name
  policy_type            = "TargetTrackingScaling"

  target_tracking_configuration {
    target_value = var.scale_cpu_percent
    predefined_metric_specification {
      predefined_metric_type = "ASGAverageCPUUtilization"
    }
  }
}

# NetworkOut counts bytes in a minute.
resource "aws_autoscaling_policy" "egress" {
  count                  = var.scale_egress_mbps > 0 ? 1 : 0
  name                   = "egress"
  autoscaling_group_name = aws_autoscaling_group.this.name
  policy_type            = "TargetTrackingScaling"

  target_tracking_configuration {
    target_value = var.scale_egress_mbps * 1000000 / 8 * 60
    predefined_metric_specification {
      predefined_metric_type = "ASGAverageNetworkOut"
    }
  }
}
