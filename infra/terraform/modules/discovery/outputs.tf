output "secret_arn" {
  value       = local.own ? module.gossip[0].arn : var.given.secret_arn
  description = "Secret with the gossip key."
}

output "files" {
  value = [
    { path = "/etc/consul.d/consul.json", permissions = "0644", content = jsonencode(local.agent) },
    { path = "/etc/consul.d/ca.pem", permissions = "0644", content = local.own ? module.authority[0].ca_pem : var.given.ca_pem },
    { path = "/etc/systemd/system/consul.service", permissions = "0644", content = local.unit },
  ]
  description = "Files of the agent on each node; the gossip key comes from the secret."
}

output "endpoints" {
  value       = local.own ? local.addresses : var.given.retry_join
  description = "Addresses that agents join."
}
