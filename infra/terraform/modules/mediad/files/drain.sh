#!/bin/sh
# Watches what the group has planned for this instance, and drains the node before it is terminated.
set -eu
. /opt/weever/lib.sh
. /etc/weever/boot.env
export AWS_DEFAULT_REGION

drain() {
	curl -sSf -X POST -H "Authorization: Bearer $(cat "$CREDENTIALS_DIRECTORY/admin-token")" "http://127.0.0.1:$PRIVATE_PORT/preStop"
}

# What cannot be read is asked again: an instance whose metadata fail for a moment is not one to be terminated.
until [ "$(metadata autoscaling/target-lifecycle-state 2>/dev/null)" = Terminated ]; do
	sleep "${WEEVER_WATCH:-5}"
done
say 'this instance will be terminated: draining'
# A node that does not run has nobody to lose.
drain || say 'the node was not drained'
again aws autoscaling complete-lifecycle-action --auto-scaling-group-name "$GROUP" --lifecycle-hook-name "$TERMINATE_HOOK" \
	--instance-id "$(metadata instance-id)" --lifecycle-action-result CONTINUE
say 'drained'
