# The media nodes.

locals {
  # Names of Graviton types have a g behind the generation: c7g.large, c7gn.xlarge, t4g.small.
  node_architecture = can(regex("^[a-z]+[0-9]+g[a-z]*\\.", var.node_instance_type)) ? "arm64" : "amd64"
}

variable "node_instance_type" {
  type        = string
  default     = "c7g.large"
  description = "EC2 type of the nodes."

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*\\.[a-z0-9-]+$", var.node_instance_type))
    error_message = "node_instance_type is \"${var.node_instance_type}\", which is no type of EC2 instances: write it like c7g.large."
  }
}

variable "node_image_id" {
  type        = string
  default     = ""
  description = "Image of the nodes, with cloud-init, systemd, aws, curl, openssl and tar; empty is the newest Amazon Linux 2023."

  validation {
    condition     = var.node_image_id == "" || can(regex("^ami-[0-9a-f]{8,17}$", var.node_image_id))
    error_message = "node_image_id is \"${var.node_image_id}\": the id of an image begins with ami-."
  }
}

variable "nodes_min" {
  type        = number
  default     = 2
  description = "Nodes at least. With one alone there is nobody to take over when it drains."

  validation {
    condition     = var.nodes_min >= 1 && floor(var.nodes_min) == var.nodes_min
    error_message = "nodes_min is ${var.nodes_min}: at least one node is needed, and two to replace one without anybody noticing."
  }
}

variable "nodes_max" {
  type        = number
  default     = 6
  description = "Nodes at most."

  validation {
    condition     = var.nodes_max >= var.nodes_min
    error_message = "nodes_max is ${var.nodes_max}, less than nodes_min, which is ${var.nodes_min}."
  }

  validation {
    condition     = var.nodes_max <= 200 && floor(var.nodes_max) == var.nodes_max
    error_message = "nodes_max is ${var.nodes_max}: a whole number up to 200."
  }
}

variable "max_node_days" {
  type        = number
  default     = 30
  description = "Age at which a node is replaced by a new one, of the image that the last apply found; 0 is never."

  validation {
    condition     = var.max_node_days == 0 || (var.max_node_days >= 1 && var.max_node_days <= 365)
    error_message = "max_node_days is ${var.max_node_days}: 1 to 365, or 0 for never."
  }
}

variable "scale_cpu_percent" {
  type        = number
  default     = 50
  description = "CPU of the nodes that the group aims at."

  validation {
    condition     = var.scale_cpu_percent >= 10 && var.scale_cpu_percent <= 90
    error_message = "scale_cpu_percent is ${var.scale_cpu_percent}: 10 to 90."
  }
}

variable "scale_egress_mbps" {
  type        = number
  default     = 0
  description = "Mbit/s sent per node that the group aims at, besides the CPU: the instance type's baseline, less a third. 0 is no such policy."

  validation {
    condition     = var.scale_egress_mbps >= 0
    error_message = "scale_egress_mbps is ${var.scale_egress_mbps}: 0 or more."
  }
}

variable "drain_timeout_seconds" {
  type        = number
  default     = 300
  description = "How long a node that is to go waits for its sessions to leave."

  validation {
    condition     = var.drain_timeout_seconds >= 0 && var.drain_timeout_seconds <= 7000
    error_message = "drain_timeout_seconds is ${var.drain_timeout_seconds}: 0 to 7000; AWS waits for two hours at most."
  }
}

variable "media_port" {
  type        = number
  default     = 8443
  description = "UDP port of all media."

  validation {
    condition     = var.media_port >= 1 && var.media_port <= 65535 && floor(var.media_port) == var.media_port
    error_message = "media_port is ${var.media_port}: a port is a whole number from 1 to 65535."
  }
}

variable "http_port" {
  type        = number
  default     = 8443
  description = "TCP port where the balancer reaches the nodes."

  validation {
    condition     = var.http_port >= 1 && var.http_port <= 65535 && floor(var.http_port) == var.http_port
    error_message = "http_port is ${var.http_port}: a port is a whole number from 1 to 65535."
  }
}

variable "private_port" {
  type        = number
  default     = 9443
  description = "TCP port of the nodes' private API, which the balancer alone reaches, for its probes."

  validation {
    condition     = var.private_port >= 1 && var.private_port <= 65535 && floor(var.private_port) == var.private_port
    error_message = "private_port is ${var.private_port}: a port is a whole number from 1 to 65535."
  }

  validation {
    condition     = var.private_port != var.http_port
    error_message = "private_port and http_port are both ${var.http_port}: they are two listeners of one machine."
  }
}

variable "cors_domains" {
  type        = list(string)
  default     = []
  description = "Domains whose pages, and whose sub-domains' pages, may call the nodes; * is all."

  validation {
    condition     = alltrue([for d in var.cors_domains : d == "*" || can(regex("^[a-z0-9.-]+$", d))])
    error_message = "cors_domains: write domains alone, such as example.org, without https:// and without a port, or *."
  }
}

variable "node_settings" {
  type        = map(string)
  default     = {}
  description = "More of mediad's variables, none of them secret, such as WEEVER_MAX_SESSIONS. mediad --help lists them."

  validation {
    condition     = alltrue([for k, v in var.node_settings : can(regex("^WEEVER_[A-Z_]+$", k)) && can(regex("^[^\\n\"'\\\\$`]*$", v))])
    error_message = "node_settings: names are like WEEVER_MAX_SESSIONS, and values have no quotes, backslashes, dollars or line ends."
  }

  validation {
    condition     = alltrue([for k in keys(var.node_settings) : !can(regex("(TOKEN|SECRET|REDIS|NATS|CREDS|DEV|NO_AUTH)", k)) || endswith(k, "_FILE")])
    error_message = "node_settings is readable in user-data: no secrets, no backends and neither WEEVER_DEV nor WEEVER_NO_AUTH here."
  }
}
