# An authority of a cluster's own, and the certificate that all its servers share.

resource "tls_private_key" "this" {
  for_each    = toset(["ca", "server"])
  algorithm   = "ECDSA"
  ecdsa_curve = "P256"
}

# Whose certificate it signs is a server of the cluster: it signs nothing else.
resource "tls_self_signed_cert" "ca" {
  private_key_pem       = tls_private_key.this["ca"].private_key_pem
  is_ca_certificate     = true
  validity_period_hours = 10 * 365 * 24
  allowed_uses          = ["cert_signing", "crl_signing"]
  subject {
    common_name = var.name
  }
}

resource "tls_cert_request" "server" {
  private_key_pem = tls_private_key.this["server"].private_key_pem
  ip_addresses    = var.ip_addresses
  dns_names       = var.dns_names
  subject {
    common_name = var.server_name
  }
}

resource "tls_locally_signed_cert" "server" {
  cert_request_pem      = tls_cert_request.server.cert_request_pem
  ca_private_key_pem    = tls_private_key.this["ca"].private_key_pem
  ca_cert_pem           = tls_self_signed_cert.ca.cert_pem
  validity_period_hours = 5 * 365 * 24
  early_renewal_hours   = 365 * 24
  allowed_uses          = ["digital_signature", "key_encipherment", "server_auth", "client_auth"]
}

module "secret" {
  source        = "../secret"
  name          = var.secret_name
  description   = var.secret_description
  text          = "${tls_locally_signed_cert.server.cert_pem}${tls_private_key.this["server"].private_key_pem}"
  recovery_days = var.recovery_days
  kms_key_arn   = var.kms_key_arn
}
