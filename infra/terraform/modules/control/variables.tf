variable "name" {
  type        = string
  description = "Begins the names of everything."
}

variable "namespace" {
  type        = string
  description = "--namespace of the nodes."
}

variable "zip_dir" {
  type        = string
  description = "Folder with create.zip, list.zip and kick.zip."
}

variable "redis_url" {
  type        = string
  sensitive   = true
  description = "URL of the store."
}

variable "subnet_ids" {
  type        = list(string)
  description = "Private subnets, one per zone."
}

variable "security_group_id" {
  type        = string
  description = "Security group of the functions."
}

variable "log_retention_days" {
  type        = number
  description = "Days that logs are kept."
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
