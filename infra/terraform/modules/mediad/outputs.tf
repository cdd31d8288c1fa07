output "group" {
  value       = aws_autoscaling_group.this.name
  description = "Name of the auto scaling group."
}

output "admin_secret_arn" {
  value       = module.admin.arn
  description = "Secret with the bearer of the nodes' private API."
}
