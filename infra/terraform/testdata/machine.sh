#!/bin/sh
# Runs as the first process of a machine of the tests: sh machine.sh FOLDER. FOLDER/stage has the machine's own files, FOLDER/out is what
# the test looks at, FOLDER/root becomes the root: this machine's files, of which a change is seen inside alone.
set -eu
dir=$1
mount -t tmpfs -o mode=755 none "$dir/root"
mkdir "$dir/root/upper" "$dir/root/work" "$dir/root/all"
root=$dir/root/all
mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/root/upper,workdir=$dir/root/work" "$root"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
# Nothing in here may set this machine's kernel.
mount -o remount,bind,ro "$root/proc"
mount -t tmpfs none "$root/run"
mount -t tmpfs none "$root/var/tmp"
# Programs of the tests, wherever the repository is.
mkdir -p "$root$TOOLS" "$root/out"
mount --bind "$TOOLS" "$root$TOOLS"
mount --bind "$dir/out" "$root/out"
cp -R "$dir/stage/." "$root/"
cat "$dir/stage/etc/weever/test-ca.pem" >>"$root/etc/ssl/certs/ca-certificates.crt"
exec chroot "$root" /bin/sh -c '
	set +e
	/opt/weever/boot.sh
	code=$?
	cp /etc/default/mediad /out/ 2>/dev/null
	ls -lR /etc/weever /etc/nats 2>/dev/null >/out/files
	ls -ld /lib /bin / >/out/folders
	echo "boot ended with $code."
	exec sleep infinity'
