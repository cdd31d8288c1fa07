# Who may talk to whom: all security groups and all of their rules. Nobody outside reaches anything but 443/tcp of the balancer and the
# media port of the nodes; there is no SSH, people come in by Session Manager.

locals {
  world = "0.0.0.0/0"

  groups = {
    edge      = "Balancer: HTTPS from anywhere"
    nodes     = "Media nodes: media from anywhere, HTTP from the balancer"
    bus       = "NATS: nodes and each other"
    discovery = "Consul servers: nodes and each other"
    state     = "Valkey: nodes and the control functions"
    control   = "Control functions: they reach Valkey and nothing else"
  }

  # group: who may be reached; peer: by whom, a group or the world.
  ingress = {
    https         = { group = "edge", peer = local.world, protocol = "tcp", port = 443, what = "HTTPS" }
    media         = { group = "nodes", peer = local.world, protocol = "udp", port = var.media_port, what = "Media: ICE, DTLS, SRTP" }
    http          = { group = "nodes", peer = "edge", protocol = "tcp", port = var.http_port, what = "Public API" }
    readiness     = { group = "nodes", peer = "edge", protocol = "tcp", port = var.private_port, what = "Readiness probe" }
    nats          = { group = "bus", peer = "nodes", protocol = "tcp", port = 4222, what = "NATS clients" }
    nats_cluster  = { group = "bus", peer = "bus", protocol = "tcp", port = 6222, what = "NATS cluster" }
    consul_rpc    = { group = "discovery", peer = "nodes", protocol = "tcp", port = 8300, what = "Consul RPC" }
    consul_peers  = { group = "discovery", peer = "discovery", protocol = "tcp", port = 8300, what = "Consul RPC between servers" }
    gossip_tcp    = { group = "discovery", peer = "nodes", protocol = "tcp", port = 8301, what = "Consul gossip" }
    gossip_udp    = { group = "discovery", peer = "nodes", protocol = "udp", port = 8301, what = "Consul gossip" }
    gossip_s_tcp  = { group = "discovery", peer = "discovery", protocol = "tcp", port = 8301, what = "Consul gossip between servers" }
    gossip_s_udp  = { group = "discovery", peer = "discovery", protocol = "udp", port = 8301, what = "Consul gossip between servers" }
    gossip_n_tcp  = { group = "nodes", peer = "discovery", protocol = "tcp", port = 8301, what = "Consul gossip from servers" }
    gossip_n_udp  = { group = "nodes", peer = "discovery", protocol = "udp", port = 8301, what = "Consul gossip from servers" }
    gossip_nn_tcp = { group = "nodes", peer = "nodes", protocol = "tcp", port = 8301, what = "Consul gossip between nodes" }
    gossip_nn_udp = { group = "nodes", peer = "nodes", protocol = "udp", port = 8301, what = "Consul gossip between nodes" }
    redis_nodes   = { group = "state", peer = "nodes", protocol = "tcp", port = 6379, what = "Valkey" }
    redis_control = { group = "state", peer = "control", protocol = "tcp", port = 6379, what = "Valkey" }
  }

  # What is allowed in from a group is allowed out of it. Nodes send to viewers anywhere on any port; servers fetch packages and secrets.
  egress = merge(
    { for name, rule in local.ingress : name => merge(rule, { group = rule.peer, peer = rule.group }) if rule.peer != local.world && rule.peer != "nodes" },
    {
      nodes     = { group = "nodes", peer = local.world, protocol = "-1", port = null, what = "Media to viewers anywhere, and all else that a node needs" }
      bus       = { group = "bus", peer = local.world, protocol = "tcp", port = 443, what = "Packages, secrets, Session Manager" }
      discovery = { group = "discovery", peer = local.world, protocol = "tcp", port = 443, what = "Packages, secrets, Session Manager" }
    },
  )
}

resource "aws_security_group" "this" {
  for_each    = local.groups
  name_prefix = "${var.name}-${each.key}-"
  description = each.value
  vpc_id      = aws_vpc.this.id
  tags        = { Name = "${var.name}-${each.key}" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each                     = local.ingress
  security_group_id            = aws_security_group.this[each.value.group].id
  description                  = each.value.what
  ip_protocol                  = each.value.protocol
  from_port                    = each.value.port
  to_port                      = each.value.port
  cidr_ipv4                    = each.value.peer == local.world ? local.world : null
  referenced_security_group_id = each.value.peer == local.world ? null : aws_security_group.this[each.value.peer].id
}

resource "aws_vpc_security_group_egress_rule" "this" {
  for_each                     = local.egress
  security_group_id            = aws_security_group.this[each.value.group].id
  description                  = each.value.what
  ip_protocol                  = each.value.protocol
  from_port                    = each.value.port
  to_port                      = each.value.port
  cidr_ipv4                    = each.value.peer == local.world ? local.world : null
  referenced_security_group_id = each.value.peer == local.world ? null : aws_security_group.this[each.value.peer].id
}
