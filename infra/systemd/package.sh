#!/bin/sh
# Packs one built mediad as .tar.gz and .deb. Called by `make package` with: architecture, version, date (Unix seconds), directory.
#
# Equal inputs give equal bytes: owners, order and dates are fixed.
set -eu
arch=$1 version=$2 SOURCE_DATE_EPOCH=$3 out=$4
export SOURCE_DATE_EPOCH
here=$(dirname "$0")
root=$here/../..

# Debian versions begin with a digit and know no "-" before the revision.
deb=$(printf %s "$version" | sed 's/^v//; s/-/+/g')
case $deb in [0-9]*.*) ;; *) deb="0.0.0+$deb" ;; esac

tree=$out/mediad-$arch/tree
rm -rf "$tree"
mkdir -p "$tree/DEBIAN" "$tree/usr/bin" "$tree/lib/systemd/system" "$tree/etc/default" "$tree/usr/share/doc/mediad"
install -m 755 "$out/mediad-$arch/mediad" "$tree/usr/bin/mediad"
install -m 644 "$here/mediad.service" "$tree/lib/systemd/system/mediad.service"
install -m 640 "$here/mediad.env" "$tree/etc/default/mediad"
install -m 644 "$root/LICENSE" "$tree/usr/share/doc/mediad/copyright"
install -m 644 "$root/README.md" "$tree/usr/share/doc/mediad/README.md"

# The archive is the same tree, to be unpacked at /.
find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
tar -C "$tree" --exclude ./DEBIAN --sort=name --owner=0 --group=0 --numeric-owner --format=ustar -cf - . |
	gzip -n -9 >"$out/mediad_${version}_$arch.tar.gz"

command -v dpkg-deb >/dev/null 2>&1 || { echo "package: dpkg-deb is missing (apt-get install dpkg); no .deb was made" >&2; exit 1; }
echo /etc/default/mediad >"$tree/DEBIAN/conffiles"
cat >"$tree/DEBIAN/control" <<END
Package: mediad
Version: $deb
Architecture: $arch
Maintainer: The Weever authors <weever@localhost>
Section: net
Priority: optional
Description: Weever media node
 A WebRTC SFU whose rooms are not tied to a machine: any publisher and any
 viewer of a room may connect to any node.
END
cat >"$tree/DEBIAN/postinst" <<'END'
#!/bin/sh
set -e
[ ! -d /run/systemd/system ] || systemctl daemon-reload
END
cat >"$tree/DEBIAN/prerm" <<'END'
#!/bin/sh
set -e
# An upgrade leaves the running node alone: restarting drains it, which is the operator's decision.
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then systemctl stop mediad.service; fi
END
chmod 755 "$tree/DEBIAN/postinst" "$tree/DEBIAN/prerm"
find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group --build "$tree" "$out/mediad_${deb}_$arch.deb" >/dev/null
