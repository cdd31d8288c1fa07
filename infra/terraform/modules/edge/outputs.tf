output "target_group_arn" {
  # A group without a listener takes no health checks: nodes wait for it.
  value       = aws_lb_listener.https.default_action[0].target_group_arn
  description = "Where nodes register."
}

output "dns_name" {
  value       = aws_lb.this.dns_name
  description = "Name of the balancer: what the domain must point to."
}
