#!/bin/sh
# Makes a Consul server of this instance. Run once by cloud-init; running it again does no harm.
set -eu
. /opt/weever/lib.sh
. /etc/weever/boot.env
export AWS_DEFAULT_REGION
need aws curl sha256sum tar systemctl

package "$PACKAGE_URL" "$PACKAGE_SHA256"
secret "$TLS_SECRET" | keep /etc/weever/consul-tls.pem
key=$(secret "$GOSSIP_SECRET")
printf '{"encrypt":"%s"}\n' "$key" | keep /etc/weever/consul-gossip.json
mkdir -p /etc/systemd/system/consul.service.d
cat >/etc/systemd/system/consul.service.d/server.conf <<END
[Service]
LoadCredential=tls.pem:/etc/weever/consul-tls.pem
ExecStart=
ExecStart=/usr/local/bin/consul agent -config-file=/etc/consul.d/consul.json -config-file=/run/credentials/consul.service/gossip.json -bind=$ADDRESS -node=$SERVER
END

systemctl daemon-reload
systemctl enable --now consul.service
wait_for 120 'Consul has a leader' sh -c 'curl -sf -m 2 http://127.0.0.1:8500/v1/status/leader | grep -q :'
