output "public_url" {
  value       = "https://${var.domain_name}"
  description = "Base URL for clients: the --url of mediad load, endpoint of weever.js."
}

output "whip_url" {
  value       = "https://${var.domain_name}/pub/{room}/{id}"
  description = "Where publishers POST."
}

output "whep_url" {
  value       = "https://${var.domain_name}/sub/{room}/{id}"
  description = "Where viewers POST."
}

output "control_url" {
  value       = module.control.url
  description = "Base URL of the control API; requests are signed (SigV4, service execute-api)."
}

output "control_invoke_arn" {
  value       = module.control.invoke_arn
  description = "For the policies of callers: this and /*, or /POST/create/pub and so on."
}

output "balancer_name" {
  value       = module.edge.dns_name
  description = "What the domain must point to (CNAME) when route53_zone_id is empty."
}

output "group" {
  value       = module.mediad.group
  description = "Auto scaling group of the nodes."
}

output "vpc_id" {
  value       = module.network.vpc_id
  description = "The VPC, for ways to NATS and Consul that are there already."
}

output "nodes_security_group_id" {
  value       = module.network.groups["nodes"]
  description = "Security group of the nodes: a Consul that is there already has to be let in, 8301/tcp and 8301/udp."
}

output "redis_secret_arn" {
  value       = module.state.secret_arn
  description = "Secret with the store's URL, as template.yaml's RedisSecretArn wants it."
}

output "admin_secret_arn" {
  value       = module.mediad.admin_secret_arn
  description = "Secret with the bearer of the nodes' private API."
}

output "nats_endpoints" {
  value       = module.bus.endpoints
  description = "URLs of the bus, from inside."
}

output "consul_endpoints" {
  value       = module.discovery.endpoints
  description = "Addresses of the Consul servers, from inside."
}
