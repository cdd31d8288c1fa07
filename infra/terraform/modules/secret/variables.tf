variable "name" {
  type        = string
  description = "Begins its name."
}

variable "description" {
  type        = string
  description = "What it is for."
}

variable "text" {
  type        = string
  sensitive   = true
  description = "The secret."
}

variable "recovery_days" {
  type        = number
  description = "Days that it can be had back after it was deleted."
}

variable "kms_key_arn" {
  type        = string
  default     = null
  description = "KMS key; null is AWS' own."
}
