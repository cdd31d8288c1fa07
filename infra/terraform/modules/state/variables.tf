variable "name" {
  type        = string
  description = "Begins the names of everything."
}

variable "subnet_ids" {
  type        = list(string)
  description = "Private subnets, one per zone."
}

variable "security_group_id" {
  type        = string
  description = "Security group of the store."
}

variable "node_type" {
  type        = string
  description = "ElastiCache node type."
}

variable "engine_version" {
  type        = string
  description = "Version of Valkey."
}

variable "replicas" {
  type        = number
  description = "Replicas beside the primary; 0 is no failover."
}

variable "snapshot_days" {
  type        = number
  description = "Days that a daily snapshot is kept; 0 is none."
}

variable "secret_recovery_days" {
  type        = number
  description = "Days that a deleted secret can be had back."
}

variable "kms_key_arn" {
  type        = string
  default     = null
  description = "KMS key; null is AWS' own."
}
