# One secret of the installation.

#tfsec:ignore:aws-ssm-secret-use-customer-key kms_key_arn is the operator's choice: a key of one's own costs a dollar a month
resource "aws_secretsmanager_secret" "this" {
  # Not a fixed name: one that was deleted stays taken for its days of recovery.
  name_prefix             = "${var.name}-"
  description             = var.description
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.recovery_days
}

resource "aws_secretsmanager_secret_version" "this" {
  secret_id     = aws_secretsmanager_secret.this.id
  secret_string = var.text
}
