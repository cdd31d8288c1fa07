output "secret_arn" {
  value       = local.own ? module.url[0].arn : var.given.secret_arn
  description = "Secret with the nodes' --nats."
}

output "ca_pem" {
  value       = local.own ? module.authority[0].ca_pem : var.given.ca_pem
  description = "Authority of the servers' certificates; empty for the system's."
}

output "endpoints" {
  value       = [for a in local.addresses : "tls://${a}:${local.port}"]
  description = "URLs of the servers, without the password; empty for a NATS that was there already."
}
