# What has to be said, and what is of the whole. Nodes, network and backends have files of their own.

variable "aws_region" {
  type        = string
  description = "Region, such as eu-central-1. Nodes and NATS are told it as theirs."

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.aws_region))
    error_message = "aws_region is \"${var.aws_region}\", which is no name of a region: write it like eu-central-1."
  }
}

variable "domain_name" {
  type        = string
  description = "Name that clients use, such as live.example.org."

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,}$", var.domain_name))
    error_message = "domain_name is \"${var.domain_name}\": give a host name alone, in small letters, such as live.example.org."
  }
}

variable "certificate_arn" {
  type        = string
  default     = ""
  description = "ACM certificate of that name in this region; empty makes one, which needs route53_zone_id."

  validation {
    condition     = var.certificate_arn == "" || can(regex("^arn:aws[a-z-]*:acm:[a-z0-9-]+:[0-9]{12}:certificate/", var.certificate_arn))
    error_message = "certificate_arn is no ARN of an ACM certificate: it begins with arn:aws:acm:."
  }

  validation {
    condition     = var.certificate_arn != "" || var.route53_zone_id != ""
    error_message = "There is no certificate: give certificate_arn, or route53_zone_id so that one can be made for domain_name."
  }
}

variable "route53_zone_id" {
  type        = string
  default     = ""
  description = "Public Route 53 zone of domain_name: its record, and those that prove the name, are made there. Optional with certificate_arn."

  validation {
    condition     = var.route53_zone_id == "" || can(regex("^Z[A-Z0-9]+$", var.route53_zone_id))
    error_message = "route53_zone_id is \"${var.route53_zone_id}\": the id of a zone begins with Z, as in Z0123456789ABCDEFGHIJ."
  }
}

variable "mediad_package" {
  type        = object({ url = string, sha256 = string })
  description = "What make package built for the nodes' architecture, where instances can fetch it: s3:// or https:// URL of the .tar.gz (or .deb, with an image of Debian's), and its SHA-256."

  validation {
    condition     = can(regex("^(s3|https)://[A-Za-z0-9._~%+/:@-]+\\.(tar\\.gz|deb)$", var.mediad_package.url))
    error_message = "mediad_package.url is \"${var.mediad_package.url}\": give an s3:// or https:// URL that ends in .tar.gz or .deb."
  }

  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.mediad_package.sha256))
    error_message = "mediad_package.sha256 is no SHA-256: 64 digits from 0 to f, as sha256sum prints them."
  }

  validation {
    condition     = can(regex("_${local.node_architecture}\\.(tar\\.gz|deb)$", var.mediad_package.url))
    error_message = "mediad_package.url is not for ${local.node_architecture}, which ${var.node_instance_type} is: make package names its files …_arm64 and …_amd64."
  }
}

variable "consul_package" {
  type        = object({ url = string, sha256 = string })
  description = "The Consul agent as .tar.gz with usr/local/bin/consul for the nodes' and servers' architecture, and its SHA-256: make cloud-package."

  validation {
    condition     = can(regex("^(s3|https)://[A-Za-z0-9._~%+/:@-]+\\.tar\\.gz$", var.consul_package.url))
    error_message = "consul_package.url is \"${var.consul_package.url}\": give an s3:// or https:// URL that ends in .tar.gz."
  }

  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.consul_package.sha256))
    error_message = "consul_package.sha256 is no SHA-256: 64 digits from 0 to f, as sha256sum prints them."
  }

  validation {
    condition     = endswith(var.consul_package.url, "_${local.node_architecture}.tar.gz")
    error_message = "consul_package.url is not for ${local.node_architecture}, which ${var.node_instance_type} is: make cloud-package names its files …_arm64 and …_amd64."
  }
}

variable "nats_package" {
  type        = object({ url = string, sha256 = string })
  default     = null
  description = "nats-server as .tar.gz with usr/local/bin/nats-server for the servers' architecture, and its SHA-256: make cloud-package. Not needed when nats is given."

  validation {
    condition     = var.nats_package != null || var.nats != null
    error_message = "There is no bus: give nats_package so that servers can be made, or nats for one that is there already."
  }

  validation {
    condition     = var.nats_package == null || can(regex("^(s3|https)://[A-Za-z0-9._~%+/:@-]+\\.tar\\.gz$", var.nats_package.url))
    error_message = "nats_package.url must be an s3:// or https:// URL that ends in .tar.gz."
  }

  validation {
    condition     = var.nats_package == null || can(regex("^[0-9a-f]{64}$", var.nats_package.sha256))
    error_message = "nats_package.sha256 is no SHA-256: 64 digits from 0 to f, as sha256sum prints them."
  }

  validation {
    condition     = var.nats_package == null || try(endswith(var.nats_package.url, "_${local.nats_architecture}.tar.gz"), false)
    error_message = "nats_package.url is not for ${local.nats_architecture}, which ${var.nats_instance_type} is: make cloud-package names its files …_arm64 and …_amd64."
  }
}

variable "zip_dir" {
  type        = string
  default     = "../../bin/package"
  description = "Folder with create.zip, list.zip and kick.zip, as make package leaves them."

  validation {
    condition     = alltrue([for f in ["create", "list", "kick"] : fileexists("${var.zip_dir}/${f}.zip")])
    error_message = "zip_dir is \"${var.zip_dir}\", where create.zip, list.zip and kick.zip are not all to be found: run make package first."
  }
}

variable "name" {
  type        = string
  default     = "weever"
  description = "Begins the names of everything; two installations in one account have different ones."

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.name)) && length(var.name) <= 20
    error_message = "name is \"${var.name}\": small letters, digits and single dashes, a letter first, 20 characters at most."
  }

  validation {
    condition     = !contains(["sg", "internal", "aws"], split("-", var.name)[0])
    error_message = "name is \"${var.name}\": AWS keeps names that begin with sg-, internal- and aws- for itself."
  }
}

variable "namespace" {
  type        = string
  default     = "weever"
  description = "--namespace of the nodes: prefix of keys and subjects."

  validation {
    condition     = can(regex("^[A-Za-z0-9_~-]{1,64}$", var.namespace))
    error_message = "namespace is \"${var.namespace}\": letters, digits, _ - and ~, 64 characters at most."
  }
}

variable "log_retention_days" {
  type        = number
  default     = 30
  description = "Days that the logs of the control API are kept."

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653], var.log_retention_days)
    error_message = "log_retention_days is ${var.log_retention_days}: CloudWatch knows 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827 and 3653."
  }
}

variable "secret_recovery_days" {
  type        = number
  default     = 7
  description = "Days that secrets can be had back after terraform destroy; 0 deletes them at once."

  validation {
    condition     = var.secret_recovery_days == 0 || (var.secret_recovery_days >= 7 && var.secret_recovery_days <= 30)
    error_message = "secret_recovery_days is ${var.secret_recovery_days}: 7 to 30, or 0 to delete at once."
  }
}

variable "deletion_protection" {
  type        = bool
  default     = true
  description = "Whether the balancer refuses to be deleted; set to false and apply before terraform destroy."
}

variable "kms_key_arn" {
  type        = string
  default     = null
  description = "KMS key for disks, secrets, the store and logs; null is AWS' own keys. Its policy must let these services use it."

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/", var.kms_key_arn))
    error_message = "kms_key_arn is no ARN of a KMS key: it looks like arn:aws:kms:eu-central-1:123456789012:key/…."
  }
}

variable "tags" {
  type        = map(string)
  default     = {}
  description = "Tags of everything."
}
