#!/bin/sh
# Installs, by apt, the programs that the tests run and that are missing. Called by `make setup`; touches nothing that is there.
#
# Each line of needs is "command package why". A command that is still missing at the end stops the run and is named.
set -eu

needs='
git            git           reads the version
gcc            gcc           the race detector is C
redis-server   redis-server  the shared state of the tests
haproxy        haproxy       the round-robin balancer of the cluster tests
chromium       chromium      the browser of the browser tests
ip             iproute2      network namespaces and bad networks
zip            zip           the Lambda archives of make package
'

export PATH="$PATH:/usr/sbin:/sbin"
export DEBIAN_FRONTEND=noninteractive

missing() { # prints the packages whose command is not there
	echo "$needs" | while read -r cmd pkg _; do
		[ -z "$cmd" ] || command -v "$cmd" >/dev/null 2>&1 || echo "$pkg"
	done
	# The race detector links against the C library's headers.
	[ -e /usr/include/stdlib.h ] || echo libc6-dev
}

apt() {
	if [ "$(id -u)" = 0 ]; then
		apt-get -q -y -o Dpkg::Use-Pty=0 "$@"
	elif command -v sudo >/dev/null 2>&1; then
		sudo DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 "$@"
	else
		echo "setup: not root and no sudo; as root: apt-get install $(missing | tr '\n' ' ')" >&2
		exit 1
	fi
}

packages=$(missing)
if [ -n "$packages" ]; then
	if ! command -v apt-get >/dev/null 2>&1; then
		echo "setup: no apt-get here; install these yourself:" $packages >&2
		exit 1
	fi
	echo "setup: installing" $packages
	apt update
	# Word splitting is meant: one package per word.
	apt install --no-install-recommends $packages
fi

fail=0
echo "$needs" | while read -r cmd pkg why; do
	if [ -n "$cmd" ] && ! command -v "$cmd" >/dev/null 2>&1; then
		echo "setup: $cmd is missing ($why); apt-get install $pkg should have brought it" >&2
		[ "$cmd" != chromium ] || echo "setup: where chromium is a snap only (Ubuntu), put a Chromium or Chrome named chromium into the PATH" >&2
		exit 1
	fi
done || fail=1

# Go and Node are what a machine is expected to bring (apt's are too old).
command -v go >/dev/null 2>&1 || { echo "setup: go is missing; install the Go that go.mod names" >&2; fail=1; }
for cmd in node npm; do
	command -v "$cmd" >/dev/null 2>&1 || { echo "setup: $cmd is missing; install Node 20 or newer (for the checks of site/)" >&2; fail=1; }
done
if command -v node >/dev/null 2>&1 && [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
	echo "setup: Node $(node --version) is too old; install Node 20 or newer" >&2
	fail=1
fi
exit "$fail"
