variable "name" {
  type        = string
  description = "Common name of the authority."
}

variable "server_name" {
  type        = string
  description = "Common name of the servers."
}

variable "ip_addresses" {
  type        = list(string)
  default     = null
  description = "Addresses that the servers' certificate is for."
}

variable "dns_names" {
  type        = list(string)
  default     = null
  description = "Names that the servers' certificate is for."
}

variable "secret_name" {
  type        = string
  description = "Begins the name of the secret."
}

variable "secret_description" {
  type        = string
  description = "What the secret is for."
}

variable "recovery_days" {
  type        = number
  description = "Days that the secret can be had back after it was deleted."
}

variable "kms_key_arn" {
  type        = string
  default     = null
  description = "KMS key; null is AWS' own."
}
