variable "name" {
  type        = string
  description = "Name of the instances; a number follows."
}

variable "addresses" {
  type        = list(string)
  description = "Private address of each, in the subnets in turn."
}

variable "instance_type" {
  type        = string
  description = "EC2 instance type."
}

variable "subnets" {
  type        = list(object({ id = string, cidr = string }))
  description = "Where they stand, in turn."
}

variable "security_group_id" {
  type        = string
  description = "Their security group."
}

variable "boot" {
  type        = string
  description = "Script that makes a server of the instance."
}

variable "files" {
  type        = list(object({ path = string, permissions = string, content = string }))
  description = "Files, none of them secret."
}

variable "settings" {
  type        = map(string)
  description = "Variables of the script, none of them secret."

  validation {
    condition     = alltrue([for v in values(var.settings) : !strcontains(v, "'")])
    error_message = "A setting holds a single quote, which the file for the shell does not allow."
  }
}

variable "secret_arns" {
  type        = list(string)
  description = "Secrets that they read."
}

variable "package_arn" {
  type        = string
  description = "Object in S3 that they read; null for a package from elsewhere."
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
