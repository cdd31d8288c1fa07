# The bus: a cluster of NATS servers with the files of infra/nats, or one that is there already.

locals {
  own  = var.given == null
  port = 4222
  # The first four addresses of a subnet are AWS' own.
  addresses = [for i in range(local.own ? var.servers : 0) : cidrhost(var.subnets[i % length(var.subnets)].cidr, 10 + floor(i / length(var.subnets)))]
  conf      = "${path.module}/../../../nats"
  # An installation with another namespace uses other subjects.
  accounts = replace(file("${local.conf}/accounts.conf"), "\"weever.v1.>\"", "\"${var.namespace}.v1.>\"")
}

resource "random_password" "this" {
  for_each = local.own ? toset(["mediad", "admin"]) : toset([])
  length   = 48
  special  = false # it stands in URLs
}

module "authority" {
  source             = "../authority"
  count              = local.own ? 1 : 0
  name               = "${var.name} bus"
  server_name        = "${var.name} bus server"
  ip_addresses       = local.addresses
  secret_name        = "${var.name}/nats-tls"
  secret_description = "Certificate and key of the NATS servers"
  recovery_days      = var.secret_recovery_days
  kms_key_arn        = var.kms_key_arn
}

module "env" {
  source      = "../secret"
  count       = local.own ? 1 : 0
  name        = "${var.name}/nats-env"
  description = "Passwords of the NATS servers"
  # NATS wants the double quotes: digits alone would be a number.
  text          = "NATS_PASSWORD='\"${random_password.this["mediad"].result}\"'\nNATS_ADMIN_PASSWORD='\"${random_password.this["admin"].result}\"'\n"
  recovery_days = var.secret_recovery_days
  kms_key_arn   = var.kms_key_arn
}

module "url" {
  source        = "../secret"
  count         = local.own ? 1 : 0
  name          = "${var.name}/nats-url"
  description   = "--nats of mediad"
  text          = join(",", [for a in local.addresses : "tls://mediad:${random_password.this["mediad"].result}@${a}:${local.port}"])
  recovery_days = var.secret_recovery_days
  kms_key_arn   = var.kms_key_arn
}

module "server" {
  count             = local.own ? 1 : 0
  source            = "../server"
  name              = "${var.name}-nats"
  addresses         = local.addresses
  instance_type     = var.instance_type
  subnets           = var.subnets
  security_group_id = var.security_group_id
  partition         = var.partition
  kms_key_arn       = var.kms_key_arn
  package_arn       = var.package.arn
  secret_arns       = [module.authority[0].secret_arn, module.env[0].arn]
  boot              = file("${path.module}/files/boot.sh")
  files = [
    { path = "/etc/nats/region.conf", permissions = "0644", content = file("${local.conf}/region.conf") },
    { path = "/etc/nats/accounts.conf", permissions = "0644", content = local.accounts },
    { path = "/etc/nats/ca.pem", permissions = "0644", content = module.authority[0].ca_pem },
    { path = "/etc/systemd/system/nats-server.service", permissions = "0644", content = file("${path.module}/files/nats-server.service") },
  ]
  settings = {
    PACKAGE_URL    = var.package.url
    PACKAGE_SHA256 = var.package.sha256
    TLS_SECRET     = module.authority[0].secret_arn
    ENV_SECRET     = module.env[0].arn
    REGION_NAME    = var.region
    ROUTES         = jsonencode([for a in local.addresses : "nats://${a}:6222"])
  }
}
