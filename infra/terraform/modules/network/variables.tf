variable "name" {
  type        = string
  description = "Begins the names of everything."
}

variable "vpc_cidr" {
  type        = string
  description = "Addresses of the VPC."
}

variable "availability_zones" {
  type        = list(string)
  description = "Zones; empty takes the first zone_count of the region."
}

variable "zone_count" {
  type        = number
  description = "Number of zones where none are named."
}

variable "nat_gateways" {
  type        = string
  description = "one or each_zone."
}

variable "media_port" {
  type        = number
  description = "UDP port of all media."
}

variable "http_port" {
  type        = number
  description = "TCP port of the nodes' public API."
}

variable "private_port" {
  type        = number
  description = "TCP port of the nodes' private API."
}
