# A few small instances with fixed private addresses that run one program: NATS or Consul servers. cloud-init writes the files and runs
# boot.sh, which fetches the program and the secrets.

locals {
  architecture = can(regex("^[a-z]+[0-9]+g[a-z]*\\.", var.instance_type)) ? "arm64" : "x86_64"
  boot_files = [
    { path = "/opt/weever/lib.sh", permissions = "0644", content = file("${path.module}/../../files/lib.sh") },
    { path = "/opt/weever/boot.sh", permissions = "0755", content = var.boot },
  ]
  user_data = [for i, address in var.addresses : join("\n", ["#cloud-config", jsonencode({
    write_files = concat(local.boot_files, var.files, [{
      path = "/etc/weever/boot.env", permissions = "0644", content = join("", [
        for k, v in merge(var.settings, { AWS_DEFAULT_REGION = data.aws_region.here.region, SERVER = "${var.name}-${i + 1}", ADDRESS = address }) : "${k}='${v}'\n"
      ])
    }])
    runcmd = [["/opt/weever/boot.sh"]]
  })])]
}

data "aws_region" "here" {}

data "aws_ssm_parameter" "image" {
  name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-${local.architecture}"
}

resource "aws_iam_role" "this" {
  name_prefix = "${var.name}-"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "ec2.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy" "boot" {
  name = "boot"
  role = aws_iam_role.this.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{ Effect = "Allow", Action = "secretsmanager:GetSecretValue", Resource = var.secret_arns }],
      var.package_arn == null ? [] : [{ Effect = "Allow", Action = "s3:GetObject", Resource = var.package_arn }],
      var.kms_key_arn == null ? [] : [{ Effect = "Allow", Action = "kms:Decrypt", Resource = var.kms_key_arn }],
    )
  })
}

# Session Manager in place of SSH.
resource "aws_iam_role_policy_attachment" "ssm" {
  role       = aws_iam_role.this.name
  policy_arn = "arn:${var.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "this" {
  name_prefix = "${var.name}-"
  role        = aws_iam_role.this.name
}

resource "aws_instance" "this" {
  count                  = length(var.addresses)
  ami                    = data.aws_ssm_parameter.image.insecure_value
  instance_type          = var.instance_type
  subnet_id              = var.subnets[count.index % length(var.subnets)].id
  private_ip             = var.addresses[count.index]
  vpc_security_group_ids = [var.security_group_id]
  iam_instance_profile   = aws_iam_instance_profile.this.name
  user_data              = local.user_data[count.index]
  tags                   = { Name = "${var.name}-${count.index + 1}" }

  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    encrypted   = true
    kms_key_id  = var.kms_key_arn
    volume_type = "gp3"
    volume_size = 10
  }

  # A new image or a new version would replace all of them at once: see "Replacing a server" in the README.
  lifecycle {
    ignore_changes = [ami, user_data]
  }

  depends_on = [aws_iam_role_policy.boot]
}
