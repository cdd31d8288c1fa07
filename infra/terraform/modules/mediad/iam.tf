# What an instance may do: fetch its packages and its secrets, and tell its own group that it is ready or empty.

resource "aws_iam_role" "this" {
  name_prefix = "${local.group}-"
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
      [
        {
          Effect   = "Allow"
          Action   = "secretsmanager:GetSecretValue"
          Resource = [var.secrets.redis, var.secrets.nats, var.secrets.gossip, module.admin.arn]
        },
        {
          Effect   = "Allow"
          Action   = "autoscaling:CompleteLifecycleAction"
          Resource = "arn:${var.partition}:autoscaling:${data.aws_region.here.region}:${data.aws_caller_identity.here.account_id}:autoScalingGroup:*:autoScalingGroupName/${local.group}"
        },
      ],
      length(local.objects) == 0 ? [] : [{ Effect = "Allow", Action = "s3:GetObject", Resource = local.objects }],
      var.kms_key_arn == null ? [] : [{ Effect = "Allow", Action = "kms:Decrypt", Resource = var.kms_key_arn }],
    )
  })
}

locals {
  objects = compact([var.package.arn, var.consul_package.arn])
}

# Session Manager in place of SSH.
resource "aws_iam_role_policy_attachment" "ssm" {
  role       = aws_iam_role.this.name
  policy_arn = "arn:${var.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "this" {
  name_prefix = "${local.group}-"
  role        = aws_iam_role.this.name
}
