#!/bin/sh
# Installs, by apt, the programs that the tests run and that are missing. Called by `make setup`; touches nothing that is there.
#
# Each line of needs is "command package why", each of parts "kind:name package why" for what is no command: an element of GStreamer, a
# typelib of GObject, a module of Python. What is still missing at the end stops the run and is named.
set -eu

needs='
git              git                 reads the version
gcc              gcc                 the race detector is C
redis-server     redis-server        the shared state of the tests
haproxy          haproxy             the round-robin balancer of the cluster tests
nginx            nginx-light         what an Ingress controller makes of its annotations
chromium         chromium            the browser of the browser tests
ip               iproute2            network namespaces and bad networks
nft              nftables            a NAT that changes its mind
shellcheck       shellcheck          reads the scripts in the workflows of GitHub
zip              zip                 the Lambda archives of make package
turnserver       coturn              relays media with the credentials that nodes hand out
gjs              gjs                 runs the native WHIP and WHEP client
dpkg-deb         dpkg                packs mediad for Debian
lintian          lintian             checks that package
systemd-analyze  systemd             checks the unit in it
strace           strace              sees whether the unit allows what the node does
setpriv          util-linux          runs programs as nobody
dnsmasq          dnsmasq-base        stands for the DNS of a swarm
busybox          busybox             its wget is that of small images
nc.openbsd       netcat-openbsd      looks whether a balancer listens
redis-cli        redis-tools         asks a Redis how it is
gst-inspect-1.0  gstreamer1.0-tools  looks for the elements below
'

parts='
element:webrtcbin      gstreamer1.0-plugins-bad    WebRTC of the native client
element:nicesrc        gstreamer1.0-nice           its ICE
element:vp8enc         gstreamer1.0-plugins-good   its camera
element:opusenc        gstreamer1.0-plugins-base   its microphone
typelib:GstWebRTC-1.0  gir1.2-gst-plugins-bad-1.0  lets its script use webrtcbin
typelib:Soup-3.0       gir1.2-soup-3.0             its HTTP
module:ensurepip       python3-venv                the Python environment of the AWS SAM CLI
'

export PATH="$PATH:/usr/sbin:/sbin"
export DEBIAN_FRONTEND=noninteractive

have() { # element:NAME, typelib:NAME-VERSION or module:NAME
	name=${1#*:}
	case $1 in
	element:*) gst-inspect-1.0 "$name" ;;
	typelib:*) gjs -c "imports.gi.versions['${name%%-*}'] = '${name#*-}'; imports.gi['${name%%-*}']" ;;
	module:*) python3 -c "import $name" ;;
	esac </dev/null >/dev/null 2>&1
}

missing() { # prints the packages whose command or part is not there
	echo "$needs" | while read -r cmd pkg _; do
		[ -z "$cmd" ] || command -v "$cmd" >/dev/null 2>&1 || echo "$pkg"
	done
	echo "$parts" | while read -r part pkg _; do
		[ -z "$part" ] || have "$part" || echo "$pkg"
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
echo "$parts" | while read -r part pkg why; do
	if [ -n "$part" ] && ! have "$part"; then
		echo "setup: ${part#*:} is missing ($why); apt-get install $pkg should have brought it" >&2
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
