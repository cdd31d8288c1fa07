# The control API: the functions' zips of `make package` behind an HTTP API that only signed requests pass. As template.yaml does with SAM.

locals {
  functions = {
    create = ["POST /create/pub", "POST /create/sub"]
    list   = ["GET /list/pub/{room}", "GET /list/sub/{room}", "GET /rooms"]
    kick   = ["DELETE /pub/{room}/{id}", "DELETE /sub/{room}/{id}"]
  }
  routes = merge([for name, routes in local.functions : { for route in routes : route => name }]...)
}

#tfsec:ignore:aws-cloudwatch-log-group-customer-key kms_key_arn is the operator's choice
resource "aws_cloudwatch_log_group" "this" {
  for_each = toset(concat(keys(local.functions), ["api"]))
  # API Gateway writes by a policy of the account that has a limited size; for names that begin like its one entry serves all.
  name              = "${each.key == "api" ? "/aws/vendedlogs" : ""}/weever/${var.name}/${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_iam_role" "this" {
  for_each    = local.functions
  name_prefix = "${var.name}-${each.key}-"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "lambda.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy" "log" {
  for_each = local.functions
  name     = "own-log"
  role     = aws_iam_role.this[each.key].id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = ["logs:CreateLogStream", "logs:PutLogEvents"], Resource = "${aws_cloudwatch_log_group.this[each.key].arn}:*" }]
  })
}

# Lambda itself makes and removes a function's network interfaces, with the function's role; these actions know no narrower resource. The
# second statement takes them from the functions' own code.
resource "aws_iam_role_policy" "network" {
  for_each = local.functions
  name     = "network"
  role     = aws_iam_role.this[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = local.interfaces, Resource = "*" },
      {
        Effect    = "Deny"
        Action    = local.interfaces
        Resource  = "*"
        Condition = { ArnEquals = { "lambda:SourceFunctionArn" = "arn:${var.partition}:lambda:${data.aws_region.here.region}:${data.aws_caller_identity.here.account_id}:function:${var.name}-${each.key}" } }
      },
    ]
  })
}

locals {
  interfaces = [
    "ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses",
  ]
}

data "aws_region" "here" {}

data "aws_caller_identity" "here" {}

# Traces would name rooms and people.
#tfsec:ignore:aws-lambda-enable-tracing
resource "aws_lambda_function" "this" {
  for_each         = local.functions
  function_name    = "${var.name}-${each.key}"
  description      = "Weever control plane: ${each.key}"
  role             = aws_iam_role.this[each.key].arn
  runtime          = "provided.al2023"
  architectures    = ["arm64"]
  handler          = "bootstrap"
  filename         = "${var.zip_dir}/${each.key}.zip"
  source_code_hash = filebase64sha256("${var.zip_dir}/${each.key}.zip")
  memory_size      = 256
  timeout          = 10 # the functions answer within 5 s, be it that the store is away
  kms_key_arn      = var.kms_key_arn

  environment {
    variables = { WEEVER_REDIS = var.redis_url, WEEVER_NAMESPACE = var.namespace }
  }

  vpc_config {
    subnet_ids         = var.subnet_ids
    security_group_ids = [var.security_group_id]
  }

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.this[each.key].name
  }

  depends_on = [aws_iam_role_policy.log, aws_iam_role_policy.network]
}

resource "aws_apigatewayv2_api" "this" {
  name          = "${var.name}-control"
  description   = "Weever control plane"
  protocol_type = "HTTP"
}

resource "aws_apigatewayv2_stage" "this" {
  api_id      = aws_apigatewayv2_api.this.id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    throttling_burst_limit = 200
    throttling_rate_limit  = 100
  }

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.this["api"].arn
    format = jsonencode({
      time   = "$context.requestTime", id = "$context.requestId", caller = "$context.identity.userArn", ip = "$context.identity.sourceIp"
      method = "$context.httpMethod", path = "$context.path", status = "$context.status", ms = "$context.responseLatency"
      error  = "$context.integrationErrorMessage"
    })
  }
}

resource "aws_apigatewayv2_integration" "this" {
  for_each               = local.functions
  api_id                 = aws_apigatewayv2_api.this.id
  integration_type       = "AWS_PROXY"
  integration_uri        = aws_lambda_function.this[each.key].invoke_arn
  payload_format_version = "2.0"
}

# Callers sign their requests (SigV4) and need execute-api:Invoke on the routes that they use.
resource "aws_apigatewayv2_route" "this" {
  for_each           = local.routes
  api_id             = aws_apigatewayv2_api.this.id
  route_key          = each.key
  authorization_type = "AWS_IAM"
  target             = "integrations/${aws_apigatewayv2_integration.this[each.value].id}"
}

resource "aws_lambda_permission" "this" {
  for_each      = local.functions
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this[each.key].function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.this.execution_arn}/*/*"
}
