variable "name" {
  type        = string
  description = "Begins the names of everything."
}

variable "namespace" {
  type        = string
  description = "--namespace of the nodes."
}

variable "region" {
  type        = string
  description = "Name of the region, as nodes are told."
}

variable "instance_type" {
  type        = string
  description = "EC2 instance type."
}

variable "image_id" {
  type        = string
  description = "Image; empty is the newest Amazon Linux 2023."
}

variable "nodes_min" {
  type        = number
  description = "Nodes at least."
}

variable "nodes_max" {
  type        = number
  description = "Nodes at most."
}

variable "max_node_days" {
  type        = number
  description = "Age at which a node is replaced, in days."
}

variable "subnet_ids" {
  type        = list(string)
  description = "Public subnets, one per zone."
}

variable "security_group_id" {
  type        = string
  description = "Security group of the nodes."
}

variable "target_group_arn" {
  type        = string
  description = "The balancer's target group."
}

variable "proxy_cidrs" {
  type        = list(string)
  description = "Where the balancer stands: its X-Forwarded-For counts."
}

variable "cors_domains" {
  type        = list(string)
  description = "Domains whose pages may call the nodes."
}

variable "media_port" {
  type        = number
  description = "UDP port of all media."
}

variable "http_port" {
  type        = number
  description = "TCP port of the public API."
}

variable "private_port" {
  type        = number
  description = "TCP port of the private API."
}

variable "drain_timeout_seconds" {
  type        = number
  description = "How long a drain waits for sessions to leave."
}

variable "scale_cpu_percent" {
  type        = number
  description = "CPU that the group is held at."
}

variable "scale_egress_mbps" {
  type        = number
  description = "Mbit/s per node that the group is held at; 0 is no such policy."
}

variable "tags" {
  type        = map(string)
  description = "Tags of the instances and their disks, which the group makes and Terraform does not see."
}

variable "settings" {
  type        = map(string)
  description = "More variables of mediad."
}

variable "package" {
  type        = object({ url = string, sha256 = string, arn = string })
  description = "mediad as .tar.gz or .deb."
}

variable "consul_package" {
  type        = object({ url = string, sha256 = string, arn = string })
  description = "Archive with usr/local/bin/consul."
}

variable "consul_files" {
  type        = list(object({ path = string, permissions = string, content = string }))
  description = "Files of the Consul agent."
}

variable "nats_ca_pem" {
  type        = string
  description = "Authority of NATS' certificates; empty for the system's."
}

variable "secrets" {
  type        = object({ redis = string, nats = string, gossip = string })
  description = "Secrets that a node reads."
}

variable "secret_recovery_days" {
  type        = number
  description = "Days that a deleted secret can be had back."
}

variable "partition" {
  type        = string
  description = "aws, aws-cn or aws-us-gov."
}

variable "kms_key_arn" {
  type        = string
  default     = null
  description = "KMS key; null is AWS' own."
}
