# One Consul server: a catalog for the balancer and Prometheus. It keeps nothing: after a restart nodes announce themselves again.
server               = true
bootstrap_expect     = 1
node_name            = "consul"
data_dir             = "/consul/data"
client_addr          = "0.0.0.0"
disable_update_check = true
connect { enabled = false }
peering { enabled = false }
ports { grpc_tls = -1 }
performance { raft_multiplier = 1 }
# The balancer sees a node come and go at once.
dns_config { service_ttl { "*" = "0s" } }
