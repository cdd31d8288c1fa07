#!/bin/sh
# Gathers what a release consists of. Called by `make release` with: version, date (Unix seconds), directory that `make package` has
# filled, directory for the release, directory of the tools, systems besides Linux ("darwin/arm64 windows/amd64").
#
# Equal inputs give equal bytes: owners, order and dates are fixed, and nothing has a serial number.
set -eu
version=$1 SOURCE_DATE_EPOCH=$2 parts=$3 out=$4 tools=$5 systems=$6
export TZ=UTC LC_ALL=C
root=$(cd "$(dirname "$0")/../.." && pwd)

rm -rf "$out"
mkdir -p "$out"
cp "$parts"/*.zip "$parts"/*.deb "$parts"/*.tar.gz "$out"
# GitHub takes no "~" in names of files; what they hold knows its version.
for deb in "$out"/*~*.deb; do
	[ ! -e "$deb" ] || mv "$deb" "$(printf %s "$deb" | tr '~' -)"
done

# For other systems the program alone, with its licence and how to use it.
for system in $systems; do
	os=${system%/*} arch=${system#*/} suffix=
	[ "$os" != windows ] || suffix=.exe
	tree=$parts/$os-$arch/mediad_${version}_${os}_$arch
	rm -rf "$tree"
	mkdir -p "$tree"
	(cd "$root" && GOOS=$os GOARCH=$arch CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$version" -o "$tree/mediad$suffix" ./mediad)
	cp "$root/LICENSE" "$root/README.md" "$tree"
	chmod 644 "$tree/LICENSE" "$tree/README.md"
	chmod 755 "$tree/mediad$suffix"
	find "$parts/$os-$arch" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	name=$(basename "$tree")
	if [ "$os" = windows ]; then
		(cd "$parts/$os-$arch" && find "$name" -type f | sort | zip -q -X -D -@ - >"$out/$name.zip")
	else
		tar -C "$parts/$os-$arch" --sort=name --owner=0 --group=0 --numeric-owner --format=ustar -cf - "$name" | gzip -n -9 >"$out/$name.tar.gz"
	fi
done

# The parts of each program (SBOM, CycloneDX), read out of the program itself.
sbom() { # program, file
	"$tools/cyclonedx-gomod" bin -json -noserial -notimestamp -version "$version" -output "$out/$2" "$1" 2>"$parts/sbom.log" || {
		cat "$parts/sbom.log" >&2
		exit 1
	}
}
found=
for program in "$parts"/mediad-*/mediad; do
	arch=$(basename "$(dirname "$program")")
	sbom "$program" "mediad_${version}_${arch#mediad-}.cdx.json"
	found=yes
done
for program in "$parts"/lambda/arm64/*/bootstrap; do
	sbom "$program" "$(basename "$(dirname "$program")")_$version.cdx.json"
done
[ -n "$found" ] || { echo "release: there is no mediad in $parts" >&2; exit 1; }

cd "$out"
sha256sum -- * >../SHA256SUMS
mv ../SHA256SUMS .
