# What nodes live on: state, bus, discovery.

locals {
  nats_architecture = can(regex("^[a-z]+[0-9]+g[a-z]*\\.", var.nats_instance_type)) ? "arm64" : "amd64"
}

variable "state_node_type" {
  type        = string
  default     = "cache.t4g.small"
  description = "ElastiCache node type."

  validation {
    condition     = can(regex("^cache\\.[a-z0-9]+\\.[a-z0-9]+$", var.state_node_type))
    error_message = "state_node_type is \"${var.state_node_type}\": types of ElastiCache begin with cache., as in cache.t4g.small."
  }
}

variable "state_engine_version" {
  type        = string
  default     = "8.0"
  description = "Version of Valkey."

  validation {
    condition     = can(regex("^([89]|[1-9][0-9])\\.[0-9]+$", var.state_engine_version))
    error_message = "state_engine_version is \"${var.state_engine_version}\": Valkey 8.0 or newer, as in 8.0."
  }
}

variable "state_replicas" {
  type        = number
  default     = 1
  description = "Replicas of the store, in other zones; 0 is no failover."

  validation {
    condition     = var.state_replicas >= 0 && var.state_replicas <= 5 && floor(var.state_replicas) == var.state_replicas
    error_message = "state_replicas is ${var.state_replicas}: 0 to 5."
  }
}

variable "state_snapshot_days" {
  type        = number
  default     = 1
  description = "Days that a daily snapshot of the store is kept; 0 is none."

  validation {
    condition     = var.state_snapshot_days >= 0 && var.state_snapshot_days <= 35
    error_message = "state_snapshot_days is ${var.state_snapshot_days}: 0 to 35."
  }
}

variable "nats" {
  type        = object({ secret_arn = string, ca_pem = optional(string, "") })
  default     = null
  description = "A NATS that is there already: secret whose text is the nodes' --nats, with the password, and the authority of its certificates. null makes a cluster."

  validation {
    condition     = var.nats == null || can(regex("^arn:aws[a-z-]*:secretsmanager:", var.nats.secret_arn))
    error_message = "nats.secret_arn is no ARN of a secret: it begins with arn:aws:secretsmanager:."
  }
}

variable "nats_servers" {
  type        = number
  default     = 3
  description = "Servers of the cluster."

  validation {
    condition     = contains([1, 3, 5], var.nats_servers)
    error_message = "nats_servers is ${var.nats_servers}: 1, 3 or 5."
  }
}

variable "nats_instance_type" {
  type        = string
  default     = "t4g.small"
  description = "EC2 type of the NATS servers. Relayed media pass through them: their bandwidth is the bus' own."

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*\\.[a-z0-9-]+$", var.nats_instance_type))
    error_message = "nats_instance_type is \"${var.nats_instance_type}\", which is no type of EC2 instances: write it like t4g.small."
  }
}

variable "consul" {
  type        = object({ retry_join = list(string), secret_arn = string, ca_pem = string })
  default     = null
  description = "Consul servers that are there already: addresses to join, secret with the gossip key, authority of their certificates; they need auto_encrypt. null makes servers."

  validation {
    condition     = var.consul == null || try(length(var.consul.retry_join) > 0, false)
    error_message = "consul.retry_join is empty: name at least one server."
  }
}

variable "consul_servers" {
  type        = number
  default     = 3
  description = "Consul servers."

  validation {
    condition     = contains([1, 3, 5], var.consul_servers)
    error_message = "consul_servers is ${var.consul_servers}: 1, 3 or 5, for they vote."
  }
}

variable "consul_instance_type" {
  type        = string
  default     = "t4g.small"
  description = "EC2 type of the Consul servers: of the same architecture as the nodes."

  validation {
    condition     = can(regex("^[a-z]+[0-9]+g[a-z]*\\.", var.consul_instance_type)) == (local.node_architecture == "arm64")
    error_message = "consul_instance_type is ${var.consul_instance_type}, whose architecture is not that of ${var.node_instance_type}: one consul_package serves both."
  }
}
