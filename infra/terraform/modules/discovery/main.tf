# Who is alive: Consul servers, or ones that are there already. Their gossip is encrypted, their RPC is TLS; every node runs an agent that
# gets its certificate from the servers. Nobody but the machine itself reaches an agent's HTTP API.

locals {
  own       = var.given == null
  addresses = local.own ? [for i in range(var.servers) : cidrhost(var.subnets[i % length(var.subnets)].cidr, 30 + floor(i / length(var.subnets)))] : []
  common = {
    datacenter           = var.datacenter
    data_dir             = "/var/lib/consul"
    client_addr          = "127.0.0.1"
    retry_join           = local.own ? local.addresses : var.given.retry_join
    disable_update_check = true
    log_level            = "WARN"
    ports                = { serf_wan = -1 }
  }
  ca_file = "/etc/consul.d/ca.pem"
  server = merge(local.common, {
    server           = true
    bootstrap_expect = var.servers
    # A server that ends comes back: it stays a member.
    leave_on_terminate = false
    connect            = { enabled = true } # what auto_encrypt needs
    auto_encrypt       = { allow_tls = true }
    tls = { internal_rpc = {
      ca_file                = local.ca_file
      cert_file              = "/run/credentials/consul.service/tls.pem"
      key_file               = "/run/credentials/consul.service/tls.pem"
      verify_incoming        = true
      verify_outgoing        = true
      verify_server_hostname = true
    } }
  })
  agent = merge(local.common, {
    server             = false
    leave_on_terminate = true
    auto_encrypt       = { tls = true }
    tls                = { internal_rpc = { ca_file = local.ca_file, verify_outgoing = true, verify_server_hostname = true } }
  })
  unit = file("${path.module}/files/consul.service")
}

resource "random_bytes" "gossip" {
  count  = local.own ? 1 : 0
  length = 32
}

module "authority" {
  source             = "../authority"
  count              = local.own ? 1 : 0
  name               = "${var.name} discovery"
  server_name        = "server.${var.datacenter}.consul"
  dns_names          = ["server.${var.datacenter}.consul", "localhost"]
  secret_name        = "${var.name}/consul-tls"
  secret_description = "Certificate and key of the Consul servers"
  recovery_days      = var.secret_recovery_days
  kms_key_arn        = var.kms_key_arn
}

module "gossip" {
  source        = "../secret"
  count         = local.own ? 1 : 0
  name          = "${var.name}/consul-gossip"
  description   = "Gossip key of Consul"
  text          = random_bytes.gossip[0].base64
  recovery_days = var.secret_recovery_days
  kms_key_arn   = var.kms_key_arn
}

module "server" {
  count             = local.own ? 1 : 0
  source            = "../server"
  name              = "${var.name}-consul"
  addresses         = local.addresses
  instance_type     = var.instance_type
  subnets           = var.subnets
  security_group_id = var.security_group_id
  partition         = var.partition
  kms_key_arn       = var.kms_key_arn
  package_arn       = var.package.arn
  secret_arns       = [module.authority[0].secret_arn, module.gossip[0].arn]
  boot              = file("${path.module}/files/boot.sh")
  files = [
    { path = "/etc/consul.d/consul.json", permissions = "0644", content = jsonencode(local.server) },
    { path = "/etc/consul.d/ca.pem", permissions = "0644", content = module.authority[0].ca_pem },
    { path = "/etc/systemd/system/consul.service", permissions = "0644", content = local.unit },
  ]
  settings = {
    PACKAGE_URL    = var.package.url
    PACKAGE_SHA256 = var.package.sha256
    TLS_SECRET     = module.authority[0].secret_arn
    GOSSIP_SECRET  = module.gossip[0].arn
  }
}
