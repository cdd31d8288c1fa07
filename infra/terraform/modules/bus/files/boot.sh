#!/bin/sh
# Makes a NATS server of this instance. Run once by cloud-init; running it again does no harm.
set -eu
. /opt/weever/lib.sh
. /etc/weever/boot.env
export AWS_DEFAULT_REGION
need aws curl sha256sum tar systemctl

package "$PACKAGE_URL" "$PACKAGE_SHA256"
secret "$TLS_SECRET" | keep /etc/nats/tls.pem
secret "$ENV_SECRET" | keep /etc/nats/secret.env
cat >/etc/nats/env <<END
NATS_NAME=$SERVER
NATS_REGION=$REGION_NAME
NATS_LISTEN='"$ADDRESS:4222"'
NATS_CLUSTER_LISTEN='"$ADDRESS:6222"'
NATS_MONITOR='"127.0.0.1:8222"'
NATS_ROUTES='$ROUTES'
NATS_CERT=/run/credentials/nats-server.service/tls.pem
NATS_KEY=/run/credentials/nats-server.service/tls.pem
NATS_CA=/etc/nats/ca.pem
END

systemctl daemon-reload
systemctl enable --now nats-server.service
wait_for 60 'NATS is up' curl -sf -m 2 http://127.0.0.1:8222/healthz
