#!/bin/sh
# Packs one built mediad as .tar.gz and .deb. Called by `make package` with: architecture, version, date (Unix seconds), directory.
#
# Equal inputs give equal bytes: owners, order and dates are fixed.
set -eu
arch=$1 version=$2 SOURCE_DATE_EPOCH=$3 out=$4
export SOURCE_DATE_EPOCH
here=$(dirname "$0")
root=$here/../..

# A Debian version begins with a digit and knows no "-" before the revision; what follows "~" comes before what does not: 1.0~rc1, 1.0.
deb=$(printf %s "$version" | sed 's/^v//; s/-\(alpha\|beta\|pre\|rc\)/~\1/; s/-/+/g')
case $deb in [0-9]*.*) ;; *) deb="0.0.0+$deb" ;; esac
case $deb in *[!A-Za-z0-9.+~]*) echo "package: \"$version\" cannot be a version: letters, digits, dots and - only" >&2; exit 1 ;; esac

[ -x "$out/mediad-$arch/mediad" ] || { echo "package: $out/mediad-$arch/mediad is missing; make package builds it" >&2; exit 1; }
command -v dpkg-deb >/dev/null 2>&1 || { echo "package: dpkg-deb is missing (apt-get install dpkg)" >&2; exit 1; }

tree=$out/mediad-$arch/tree
doc=$tree/usr/share/doc/mediad
rm -rf "$tree"
umask 022
mkdir -p "$tree/DEBIAN" "$tree/usr/bin" "$tree/usr/lib/systemd/system" "$tree/usr/lib/sysctl.d" "$tree/etc/default" "$doc"
install -m 755 "$out/mediad-$arch/mediad" "$tree/usr/bin/mediad"
install -m 644 "$here/mediad.service" "$tree/usr/lib/systemd/system/mediad.service"
install -m 644 "$here/10-mediad.conf" "$tree/usr/lib/sysctl.d/10-mediad.conf"
install -m 640 "$here/mediad.env" "$tree/etc/default/mediad"
install -m 644 "$here/mediad.env" "$doc/mediad.env"
install -m 644 "$root/LICENSE" "$doc/copyright"
install -m 644 "$root/README.md" "$doc/README.md"
find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

# The archive is for machines without dpkg, to be unpacked at /. It has no settings, which it would overwrite, and no folders: in the
# place of a link to one (/lib on many machines) tar would put the folder.
(cd "$tree" && find usr -type f | LC_ALL=C sort) |
	tar -C "$tree" --no-recursion -T - --owner=0 --group=0 --numeric-owner --format=ustar -cf - |
	gzip -n -9 >"$out/mediad_${version}_$arch.tar.gz"

printf 'mediad (%s) stable; urgency=medium\n\n  * See the release notes.\n\n -- The Weever authors <weever@localhost>  %s\n' \
	"$deb" "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")" | gzip -n -9 >"$doc/changelog.gz"
echo /etc/default/mediad >"$tree/DEBIAN/conffiles"
(cd "$tree" && find usr -type f | LC_ALL=C sort | xargs md5sum) >"$tree/DEBIAN/md5sums"
sed "s/@version@/$deb/; s/@arch@/$arch/; s/@size@/$(du -k -s "$tree" | cut -f1)/" "$here/debian/control" >"$tree/DEBIAN/control"
install -m 755 "$here/debian/postinst" "$here/debian/prerm" "$here/debian/postrm" "$tree/DEBIAN"
find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
# xz: Debian 11 reads no other compression that Ubuntu would choose.
dpkg-deb --root-owner-group -Zxz --build "$tree" "$out/mediad_${deb}_$arch.deb" >/dev/null
