#!/bin/sh
# Makes a media node of this instance and tells its group when it is ready, or that it never will be. Run once by cloud-init; running it
# again does no harm.
set -eu
. /opt/weever/lib.sh
. /etc/weever/boot.env
export AWS_DEFAULT_REGION

lifecycle() { # lifecycle CONTINUE|ABANDON
	again aws autoscaling complete-lifecycle-action --auto-scaling-group-name "$GROUP" --lifecycle-hook-name "$LAUNCH_HOOK" \
		--instance-id "$instance" --lifecycle-action-result "$1"
}

# A node that cannot be made is replaced: the log of the console says why.
finish() {
	code=$?
	if [ "$code" != 0 ] && [ -n "$instance" ]; then
		say "this instance is given up"
		lifecycle ABANDON || true
	fi
	exit "$code"
}
instance=
trap finish EXIT

need aws curl openssl sha256sum tar systemctl
instance=$(again metadata instance-id)

package "$CONSUL_URL" "$CONSUL_SHA256"
package "$MEDIAD_URL" "$MEDIAD_SHA256"

# {"url":"rediss://…"}: one JSON key, whose value has no quotes.
secret "$REDIS_SECRET" | sed -n 's/.*"url" *: *"\([^"]*\)".*/\1/p' | keep /etc/weever/redis
secret "$NATS_SECRET" | keep /etc/weever/nats
secret "$ADMIN_SECRET" | keep /etc/weever/admin-token
key=$(secret "$GOSSIP_SECRET")
printf '{"encrypt":"%s"}\n' "$key" | keep /etc/weever/consul-gossip.json

# The balancer speaks TLS to its nodes and asks for no name. The key never leaves the instance.
umask 077
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=$instance" \
	-keyout /etc/weever/key.pem -out /etc/weever/cert.pem 2>/dev/null || die 'openssl makes no certificate'
umask 022

{
	cat /etc/weever/mediad.env
	echo "WEEVER_NODE_ID=$instance"
} >/etc/default/mediad

# The sizes of UDP buffers come with the package; without them the node drops more, and runs.
sysctl -q -p /usr/lib/sysctl.d/10-mediad.conf || say 'the sizes of UDP buffers cannot be set'
systemctl daemon-reload
systemctl enable --now consul.service mediad.service weever-drain.service
wait_for "${READY_SECONDS:-300}" 'the node is ready' curl -sf -m 2 "http://127.0.0.1:$PRIVATE_PORT/readiness"
lifecycle CONTINUE
