output "arn" {
  # Who reads the secret waits until there is something in it.
  value       = aws_secretsmanager_secret_version.this.arn
  description = "The secret."
}
