output "ids" {
  value       = aws_instance.this[*].id
  description = "The instances."
}
