output "ca_pem" {
  value       = tls_self_signed_cert.ca.cert_pem
  description = "Certificate of the authority."
}

output "secret_arn" {
  value       = module.secret.arn
  description = "Secret with the servers' certificate and key."
}
