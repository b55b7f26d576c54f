#!/bin/bash
# image.sh DIR: a root file system that has what podman's system tests look for in their image, as DIR/image.tar.
# Everything is made of this machine's static busybox, and of its ip and socat where they are there.
set -euo pipefail
dir=$1
root=$dir/image
mkdir -p "$root"/{bin,dev,etc,home/podman,lib,mnt,opt,proc,root,run,sbin,srv,sys,tmp,usr/bin,usr/sbin,usr/local/bin,var/log,var/tmp,media}
chmod 1777 "$root"/tmp "$root"/var/tmp
chmod 700 "$root"/root

busybox=$(command -v busybox)
cp "$busybox" "$root/bin/busybox"
busybox --list-full | while read -r applet; do
    mkdir -p "$root/$(dirname "$applet")"
    [ -e "$root/$applet" ] || ln -s /bin/busybox "$root/$applet"
done
# The suite calls these by their paths.
for applet in echo cat ls sh true false sleep date stat top; do
    [ -e "$root/bin/$applet" ] || ln -s /bin/busybox "$root/bin/$applet"
done
ln -sf /bin/busybox "$root/bin/busybox-extras"

if ! [ -e "$root/usr/bin/printenv" ]; then
    cat >"$root/usr/bin/printenv" <<'END'
#!/bin/sh
exec awk 'BEGIN {
    if (ARGC == 1) for (name in ENVIRON) print name "=" ENVIRON[name]
    for (i = 1; i < ARGC; i++) if (ARGV[i] in ENVIRON) print ENVIRON[ARGV[i]]; else missing = 1
    exit missing
}' "$@"
END
    chmod 755 "$root/usr/bin/printenv"
fi
rm -f "$root/bin/printenv"
ln -s /usr/bin/printenv "$root/bin/printenv"

# Programs that are not busybox's, with the libraries that they need.
for program in ip socat; do
    path=$(command -v "$program") || continue
    rm -f "$root/sbin/$program" "$root/bin/$program" "$root/usr/bin/$program"
    cp -L "$path" "$root/sbin/$program"
    ldd "$path" | grep -o '/[^ ]*' | while read -r library; do
        mkdir -p "$root/$(dirname "$library")"
        cp -Ln "$library" "$root/$library"
    done
done

cat >"$root/etc/passwd" <<END
root:x:0:0:root:/root:/bin/sh
bin:x:1:1:bin:/bin:/sbin/nologin
daemon:x:2:2:daemon:/sbin:/sbin/nologin
mail:x:8:12:mail:/var/mail:/sbin/nologin
guest:x:405:100:guest:/dev/null:/sbin/nologin
nobody:x:65534:65534:nobody:/:/sbin/nologin
END
cat >"$root/etc/group" <<END
root:x:0:root
bin:x:1:root,bin,daemon
daemon:x:2:root,bin,daemon
tty:x:5:
mail:x:12:mail
wheel:x:10:root
users:x:100:games
ping:x:999:
nogroup:x:65533:
nobody:x:65534:
END
echo 'root:*::0:::::' >"$root/etc/shadow"
chmod 640 "$root/etc/shadow"
echo 'NAME="Test"' >"$root/etc/os-release"
echo 'http 80/tcp' >"$root/etc/services"
echo localhost >"$root/etc/hostname"
echo '127.0.0.1 localhost' >"$root/etc/hosts"
echo '/bin/sh' >"$root/etc/shells"
ln -s /proc/mounts "$root/etc/mtab"

echo "$SUITE_TAG" >"$root/home/podman/testimage-id"
# The programs of its image are the suite's own: it writes them when it builds that, by commands like `cat >pause <<EOF`.
for name in pause healthcheck bytecheck; do
    awk -v name="$name" '
        inside && $0 == "EOF" { exit }
        inside { if (!quoted) gsub(/\\\$/, "$"); print }
        $0 ~ "^cat >" name " <<" { inside = 1; quoted = !/<<EOF/ }
    ' "$SUITE_TESTS/build-testimage" >"$root/home/podman/$name"
    [ -s "$root/home/podman/$name" ] || { echo "build-testimage has no $name" >&2; exit 1; }
done
chmod 755 "$root"/home/podman/{pause,healthcheck,bytecheck}
# `run --tz` looks at this time.
touch --date=@1600000000 "$root/home/podman/testimage-id"
chmod 555 "$root"
tar -C "$root" --owner=0 --group=0 --numeric-owner --sort=name -cf "$dir/image.tar" .
chmod 755 "$root"

# The registry to which the suite logs in: distribution's, where this machine has it.
registry=$(command -v docker-registry || command -v registry) || exit 0
root=$dir/registry-image
mkdir -p "$root"/{bin,etc/docker/registry,tmp,usr/bin,var/lib/registry,proc,sys,dev,run}
cp "$busybox" "$root/bin/busybox"
ln -s busybox "$root/bin/sh"
cp -L "$registry" "$root/usr/bin/registry"
ldd "$registry" 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$root/$(dirname "$library")"
    cp -Ln "$library" "$root/$library"
done
cat >"$root/etc/docker/registry/config.yml" <<'END'
version: 0.1
storage:
  delete:
    enabled: true
  filesystem:
    rootdirectory: /var/lib/registry
http:
  addr: 127.0.0.1:5000
END
tar -C "$root" --owner=0 --group=0 --numeric-owner --sort=name -cf "$dir/registry.tar" .
