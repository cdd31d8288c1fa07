# What the boot scripts share. Wants: sh, aws, curl, openssl, sha256sum, tar, systemctl. Prints nothing secret.

say() {
	echo "weever: $*"
}

die() {
	echo "weever: cannot go on: $*" >&2
	exit 1
}

need() { # need PROGRAM…
	for program; do
		command -v "$program" >/dev/null 2>&1 || die "$program is missing on this image"
	done
}

# A network that is not there yet, a role that is not known everywhere yet: five times, half a minute.
again() { # again COMMAND…
	for pause in 1 2 4 8 16; do
		if "$@"; then
			return 0
		fi
		sleep "${WEEVER_PAUSE:-$pause}"
	done
	"$@"
}

metadata() { # metadata PATH: of this instance (IMDSv2)
	token=$(curl -sSf -m 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' http://169.254.169.254/latest/api/token) &&
		curl -sSf -m 5 -H "X-aws-ec2-metadata-token: $token" "http://169.254.169.254/latest/meta-data/$1"
}

secret() { # secret ARN: its text
	again aws secretsmanager get-secret-value --secret-id "$1" --query SecretString --output text
}

# keep writes what it reads into a file that only root reads; an empty secret is an error, not an empty file.
keep() { # keep FILE
	umask 077
	cat >"$1.new"
	[ -s "$1.new" ] || die "the secret for $1 is empty"
	mv "$1.new" "$1"
	umask 022
}

download() { # download URL FILE
	case $1 in
	s3://*) aws s3 cp --no-progress --only-show-errors "$1" "$2" ;;
	*) curl -sSfL --proto '=https' --retry 2 -m 300 -o "$2" "$1" ;;
	esac
}

# package installs a .deb, or unpacks a .tar.gz at /, when it is what it should be.
package() { # package URL SHA256
	file=/var/tmp/${1##*/}
	again download "$1" "$file" || die "$1 cannot be fetched"
	echo "$2  $file" | sha256sum -c - >/dev/null 2>&1 ||
		die "$1 is not what the configuration says: its SHA-256 is $(sha256sum <"$file" | cut -d' ' -f1), not $2"
	case $file in
	# /lib and /bin are links on current systems; tar would put folders in their place.
	*.tar.gz) tar -xzf "$file" -C / --keep-directory-symlink --no-overwrite-dir --no-same-owner ;;
	*.deb) dpkg --force-confold -i "$file" ;;
	esac
	rm -f "$file"
	say "installed ${1##*/}"
}

wait_for() { # wait_for SECONDS WHAT COMMAND…
	left=$1 what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		left=$((left - 1))
		[ "$left" -gt 0 ] || die "$what: not within the time"
		sleep 1
	done
	say "$what: yes"
}
