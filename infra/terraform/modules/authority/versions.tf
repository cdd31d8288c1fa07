terraform {
  required_version = ">= 1.9"

  required_providers {
    tls = { source = "hashicorp/tls", version = "~> 4.0" }
  }
}
