output "vpc_id" {
  value       = aws_vpc.this.id
  description = "The VPC."
}

output "public_subnets" {
  value       = [for zone in local.zones : { id = aws_subnet.public[zone].id, cidr = aws_subnet.public[zone].cidr_block }]
  description = "Subnets of the balancer and the nodes, one per zone."
  # A balancer is refused in a VPC without a gateway, and nodes that start need a way out.
  depends_on = [aws_route.internet, aws_route_table_association.public, aws_vpc_endpoint.s3]
}

output "private_subnets" {
  value       = [for zone in local.zones : { id = aws_subnet.private[zone].id, cidr = aws_subnet.private[zone].cidr_block }]
  description = "Subnets of everything else, one per zone."
  # Servers that start fetch packages and secrets; a NAT gateway takes minutes to make.
  depends_on = [aws_route.nat, aws_route_table_association.private, aws_vpc_endpoint.s3]
}

output "groups" {
  value       = { for name, group in aws_security_group.this : name => group.id }
  description = "Security groups: edge, nodes, bus, discovery, state, control."
  depends_on  = [aws_vpc_security_group_ingress_rule.this, aws_vpc_security_group_egress_rule.this]
}
