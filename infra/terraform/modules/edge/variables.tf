variable "name" {
  type        = string
  description = "Begins the names of everything."
}

variable "vpc_id" {
  type        = string
  description = "The VPC."
}

variable "subnet_ids" {
  type        = list(string)
  description = "Public subnets, one per zone."
}

variable "security_group_id" {
  type        = string
  description = "Security group of the balancer."
}

variable "domain_name" {
  type        = string
  description = "Name that clients use."
}

variable "route53_zone_id" {
  type        = string
  description = "Zone of that name; empty when its records are made elsewhere."
}

variable "certificate_arn" {
  type        = string
  description = "Certificate of that name; empty makes one, which needs the zone."
}

variable "http_port" {
  type        = number
  description = "TCP port of the nodes' public API."
}

variable "private_port" {
  type        = number
  description = "TCP port of the nodes' private API."
}

variable "deletion_protection" {
  type        = bool
  description = "Whether the balancer refuses to be deleted."
}
