# Weever on AWS: media nodes behind a balancer, what they live on, and the control API.

data "aws_partition" "here" {}

locals {
  partition = data.aws_partition.here.partition
  tags      = merge({ Project = var.name }, var.tags)
  # Objects in S3 that instances may read: exactly these.
  packages = { for name, package in { mediad = var.mediad_package, consul = var.consul_package, nats = var.nats_package } :
    name => package == null ? { url = "", sha256 = "", arn = null } : merge(package, {
      arn = startswith(package.url, "s3://") ? "arn:${local.partition}:s3:::${trimprefix(package.url, "s3://")}" : null
    })
  }
}

module "network" {
  source             = "./modules/network"
  name               = var.name
  vpc_cidr           = var.vpc_cidr
  availability_zones = var.availability_zones
  zone_count         = var.zone_count
  nat_gateways       = var.nat_gateways
  media_port         = var.media_port
  http_port          = var.http_port
  private_port       = var.private_port
}

module "state" {
  source               = "./modules/state"
  name                 = var.name
  subnet_ids           = module.network.private_subnets[*].id
  security_group_id    = module.network.groups["state"]
  node_type            = var.state_node_type
  engine_version       = var.state_engine_version
  replicas             = var.state_replicas
  snapshot_days        = var.state_snapshot_days
  secret_recovery_days = var.secret_recovery_days
  kms_key_arn          = var.kms_key_arn
}

module "bus" {
  source               = "./modules/bus"
  name                 = var.name
  namespace            = var.namespace
  region               = var.aws_region
  given                = var.nats
  servers              = var.nats_servers
  instance_type        = var.nats_instance_type
  package              = local.packages.nats
  subnets              = module.network.private_subnets
  security_group_id    = module.network.groups["bus"]
  secret_recovery_days = var.secret_recovery_days
  partition            = local.partition
  kms_key_arn          = var.kms_key_arn
}

module "discovery" {
  source               = "./modules/discovery"
  name                 = var.name
  datacenter           = var.name
  given                = var.consul
  servers              = var.consul_servers
  instance_type        = var.consul_instance_type
  package              = local.packages.consul
  subnets              = module.network.private_subnets
  security_group_id    = module.network.groups["discovery"]
  secret_recovery_days = var.secret_recovery_days
  partition            = local.partition
  kms_key_arn          = var.kms_key_arn
}

module "edge" {
  source              = "./modules/edge"
  name                = var.name
  vpc_id              = module.network.vpc_id
  subnet_ids          = module.network.public_subnets[*].id
  security_group_id   = module.network.groups["edge"]
  domain_name         = var.domain_name
  route53_zone_id     = var.route53_zone_id
  certificate_arn     = var.certificate_arn
  http_port           = var.http_port
  private_port        = var.private_port
  deletion_protection = var.deletion_protection
}

module "mediad" {
  source                = "./modules/mediad"
  name                  = var.name
  namespace             = var.namespace
  region                = var.aws_region
  instance_type         = var.node_instance_type
  image_id              = var.node_image_id
  nodes_min             = var.nodes_min
  nodes_max             = var.nodes_max
  max_node_days         = var.max_node_days
  subnet_ids            = module.network.public_subnets[*].id
  security_group_id     = module.network.groups["nodes"]
  target_group_arn      = module.edge.target_group_arn
  proxy_cidrs           = module.network.public_subnets[*].cidr
  cors_domains          = var.cors_domains
  media_port            = var.media_port
  http_port             = var.http_port
  private_port          = var.private_port
  drain_timeout_seconds = var.drain_timeout_seconds
  scale_cpu_percent     = var.scale_cpu_percent
  scale_egress_mbps     = var.scale_egress_mbps
  settings              = var.node_settings
  tags                  = local.tags
  package               = local.packages.mediad
  consul_package        = local.packages.consul
  consul_files          = module.discovery.files
  nats_ca_pem           = module.bus.ca_pem
  secrets               = { redis = module.state.secret_arn, nats = module.bus.secret_arn, gossip = module.discovery.secret_arn }
  secret_recovery_days  = var.secret_recovery_days
  partition             = local.partition
  kms_key_arn           = var.kms_key_arn
}

module "control" {
  source             = "./modules/control"
  name               = var.name
  namespace          = var.namespace
  zip_dir            = var.zip_dir
  redis_url          = module.state.url
  subnet_ids         = module.network.private_subnets[*].id
  security_group_id  = module.network.groups["control"]
  log_retention_days = var.log_retention_days
  partition          = local.partition
  kms_key_arn        = var.kms_key_arn
}
