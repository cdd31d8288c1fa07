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
  description = "Name of the region, as nodes and NATS are told."
}

variable "given" {
  type        = object({ secret_arn = string, ca_pem = string })
  description = "A NATS that is there already; null makes one."
}

variable "servers" {
  type        = number
  description = "Servers of the cluster."
}

variable "instance_type" {
  type        = string
  description = "EC2 instance type."
}

variable "package" {
  type        = object({ url = string, sha256 = string, arn = string })
  description = "Archive with usr/local/bin/nats-server."
}

variable "subnets" {
  type        = list(object({ id = string, cidr = string }))
  description = "Private subnets, one per zone."
}

variable "security_group_id" {
  type        = string
  description = "Security group of the servers."
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
