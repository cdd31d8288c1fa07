# The way in: a balancer that ends TLS and hands requests to any node that is ready. No stickiness, for any node answers for any session.

locals {
  make_certificate = var.certificate_arn == ""
  make_records     = var.route53_zone_id != ""
}

# tfsec:ignore:aws-elb-alb-not-public
resource "aws_lb" "this" {
  name                       = var.name
  load_balancer_type         = "application"
  internal                   = false # browsers come from everywhere
  subnets                    = var.subnet_ids
  security_groups            = [var.security_group_id]
  drop_invalid_header_fields = true
  enable_deletion_protection = var.deletion_protection
  # Longer than a node's sign of life on an event stream, every 15 s.
  idle_timeout = 60
}

# A node speaks TLS with a certificate of its own making, and answers the probe on its private port.
resource "aws_lb_target_group" "this" {
  name_prefix                   = "${substr(var.name, 0, 5)}-"
  vpc_id                        = var.vpc_id
  target_type                   = "instance"
  protocol                      = "HTTPS"
  port                          = var.http_port
  load_balancing_algorithm_type = "round_robin"
  # What comes after that goes to another node, which answers for this one's sessions.
  deregistration_delay = 15

  health_check {
    protocol            = "HTTP"
    port                = var.private_port
    path                = "/readiness"
    matcher             = "200"
    interval            = 5
    timeout             = 2
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }

  # Another port is another target group, and the listener lets go of this one only for that.
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = local.make_certificate ? aws_acm_certificate_validation.this[0].certificate_arn : var.certificate_arn

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}

resource "aws_acm_certificate" "this" {
  count             = local.make_certificate ? 1 : 0
  domain_name       = var.domain_name
  validation_method = "DNS"

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_route53_record" "validation" {
  count           = local.make_certificate ? 1 : 0
  zone_id         = var.route53_zone_id
  name            = tolist(aws_acm_certificate.this[0].domain_validation_options)[0].resource_record_name
  type            = tolist(aws_acm_certificate.this[0].domain_validation_options)[0].resource_record_type
  records         = [tolist(aws_acm_certificate.this[0].domain_validation_options)[0].resource_record_value]
  ttl             = 60
  allow_overwrite = true
}

resource "aws_acm_certificate_validation" "this" {
  count                   = local.make_certificate ? 1 : 0
  certificate_arn         = aws_acm_certificate.this[0].arn
  validation_record_fqdns = [aws_route53_record.validation[0].fqdn]
}

resource "aws_route53_record" "name" {
  count   = local.make_records ? 1 : 0
  zone_id = var.route53_zone_id
  name    = var.domain_name
  type    = "A"

  alias {
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
    evaluate_target_health = false
  }
}
