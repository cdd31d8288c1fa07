terraform {
  # The first that lets a variable's validation look at another variable.
  required_version = ">= 1.9"

  required_providers {
    aws = { source = "hashicorp/aws", version = "~> 6.25" }
    # Used by modules; named here so that tests can mock them.
    # tflint-ignore: terraform_unused_required_providers
    random = { source = "hashicorp/random", version = "~> 3.7" }
    # tflint-ignore: terraform_unused_required_providers
    tls = { source = "hashicorp/tls", version = "~> 4.0" }
  }
}

provider "aws" {
  region = var.aws_region

  default_tags {
    tags = local.tags
  }
}
