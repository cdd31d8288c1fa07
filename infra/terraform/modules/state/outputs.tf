output "url" {
  value       = local.url
  sensitive   = true
  description = "URL of the store, with its password."
}

output "secret_arn" {
  value       = module.secret.arn
  description = "Secret with the key url."
}

output "endpoint" {
  value       = aws_elasticache_replication_group.this.primary_endpoint_address
  description = "Host name of the primary."
}
