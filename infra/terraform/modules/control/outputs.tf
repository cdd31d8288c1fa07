output "url" {
  value       = aws_apigatewayv2_api.this.api_endpoint
  description = "Base URL of the control API; requests are signed for the service execute-api."
}

output "invoke_arn" {
  value       = "${aws_apigatewayv2_api.this.execution_arn}/$default"
  description = "For the policies of callers; append /* or /POST/create/pub and so on."
}
