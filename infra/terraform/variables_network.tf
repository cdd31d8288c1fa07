# The network.

variable "vpc_cidr" {
  type        = string
  default     = "10.42.0.0/16"
  description = "Addresses of the VPC, /16 to /20."

  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0)) && can(regex("/(16|17|18|19|20)$", var.vpc_cidr))
    error_message = "vpc_cidr is \"${var.vpc_cidr}\", which is no range from /16 to /20: write it like 10.42.0.0/16."
  }

  validation {
    condition     = !can(cidrhost(var.vpc_cidr, 0)) || try(cidrhost(var.vpc_cidr, 0) == split("/", var.vpc_cidr)[0], false)
    error_message = "vpc_cidr is \"${var.vpc_cidr}\", but that range begins at another address: write it like 10.42.0.0/16."
  }
}

variable "availability_zones" {
  type        = list(string)
  default     = []
  description = "Zones, two at least; empty takes the first zone_count of the region."

  validation {
    condition     = length(var.availability_zones) == 0 || length(distinct(var.availability_zones)) >= 2
    error_message = "availability_zones names one zone: the balancer and the store's failover need two or more."
  }

  validation {
    condition     = alltrue([for z in var.availability_zones : startswith(z, var.aws_region)]) && length(distinct(var.availability_zones)) == length(var.availability_zones)
    error_message = "availability_zones must be different zones of ${var.aws_region}, such as ${var.aws_region}a."
  }

  validation {
    condition     = length(var.availability_zones) <= 6
    error_message = "availability_zones names ${length(var.availability_zones)} zones: six at most."
  }
}

variable "zone_count" {
  type        = number
  default     = 2
  description = "Number of zones where availability_zones is empty."

  validation {
    condition     = var.zone_count >= 2 && var.zone_count <= 6 && floor(var.zone_count) == var.zone_count
    error_message = "zone_count is ${var.zone_count}: the balancer and the store's failover need two zones or more, six at most."
  }
}

variable "nat_gateways" {
  type        = string
  default     = "one"
  description = "one, or each_zone: servers fetch packages through it when they start; nodes and media do not use it."

  validation {
    condition     = contains(["one", "each_zone"], var.nat_gateways)
    error_message = "nat_gateways is \"${var.nat_gateways}\": one or each_zone."
  }
}
