#!/bin/bash
# session.sh FILE: runs one file of podman's system tests, or with `images` makes the images of all. This is the first
# program in namespaces of its own: what it mounts and sets up goes with it. SUITE_DIR is the run's own directory, whose
# bin/podman is the program that is tested.
set -euo pipefail

# The machine's files stay as they are.
mkdir -p "$SUITE_DIR"/session/{etc,work,containers,tmp,home,root}
mount -t tmpfs -o mode=755 tmpfs /run
mount -t overlay -o "lowerdir=/etc,upperdir=$SUITE_DIR/session/etc,workdir=$SUITE_DIR/session/work" overlay /etc
[ -d /var/lib/containers ] && mount --bind "$SUITE_DIR/session/containers" /var/lib/containers

# A host of its own: one device with a way to somebody else.
ip link set lo up
ip netns add outside
ip link add up0 type veth peer name down0 netns outside
ip addr add 192.0.2.1/24 dev up0
ip addr add 2001:db8::1/64 dev up0 nodad
ip link set up0 up
ip -n outside addr add 192.0.2.2/24 dev down0
ip -n outside addr add 2001:db8::2/64 dev down0 nodad
ip -n outside link set lo up
ip -n outside link set down0 up
ip route add default via 192.0.2.2
ip -6 route add default via 2001:db8::2

# Nobody answers there, and whoever asks is told so at once.
rm -f /etc/resolv.conf
echo 'nameserver 192.0.2.2' >/etc/resolv.conf

# A journal of its own, where this machine has the program.
if [ -x /lib/systemd/systemd-journald ]; then
    mkdir -p /run/systemd/journal /run/log/journal
    /lib/systemd/systemd-journald >/dev/null 2>&1 &
fi

ln -sf "$SUITE_DATA/skopeo.sh" "$SUITE_DIR/bin/skopeo"
command -v htpasswd >/dev/null || ln -sf "$SUITE_DATA/htpasswd.sh" "$SUITE_DIR/bin/htpasswd"
export PATH=$SUITE_DIR/bin:$PATH HOME=$SUITE_DIR/session/home
export TMPDIR=$SUITE_DIR/session/tmp
export TARE_ROOT=$SUITE_DIR/session/root TARE_RUNROOT=/run/tare/store
export PODMAN=$SUITE_DIR/bin/podman
unset REGISTRY_AUTH_FILE XDG_RUNTIME_DIR

# The registry of the suite's images is a mirror on this host.
mirror=127.0.0.1:5000
export CONTAINERS_REGISTRIES_CONF=$SUITE_DIR/session/registries.conf
cat >"$CONTAINERS_REGISTRIES_CONF" <<END
[[registry]]
location = "$SUITE_REGISTRY"
[[registry.mirror]]
location = "$mirror"
insecure = true
END
mkdir -p /etc/containers
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >/etc/containers/policy.json
podman registry serve --root "$SUITE_DIR/registry" --listen "$mirror" >/dev/null 2>&1 &
for _ in $(seq 100); do
    (exec 3<>/dev/tcp/127.0.0.1/5000) 2>/dev/null && break
    sleep 0.05
done

name=$SUITE_USER/$SUITE_NAME
if [ "$1" = images ]; then
    "$SUITE_DATA/image.sh" "$SUITE_DIR"
    created=2024-10-11T00:00:00Z
    export SOURCE_DATE_EPOCH=1728604800
    podman import -q --change 'LABEL created_by=test/system/build-testimage' --change "LABEL created_at=$created" \
        --change 'WORKDIR /home/podman' \
        --change 'CMD ["/bin/echo", "This container is intended for podman CI testing"]' \
        "$SUITE_DIR/image.tar" "$SUITE_REGISTRY/$name:$SUITE_TAG"
    podman import -q --change 'CMD ["true"]' "$SUITE_DIR/image.tar" "$SUITE_REGISTRY/$name:$SUITE_NONLOCAL_TAG"
    # The suite names this tag itself.
    podman import -q --change 'CMD ["pwd"]' "$SUITE_DIR/image.tar" "$SUITE_REGISTRY/$name:multiimage"
    all=("$name:$SUITE_TAG" "$name:$SUITE_NONLOCAL_TAG" "$name:multiimage")
    if [ -e "$SUITE_DIR/registry.tar" ]; then
        all+=("$SUITE_USER/$SUITE_LOGIN_IMAGE")
        podman import -q --change 'ENTRYPOINT ["registry"]' \
            --change 'CMD ["serve", "/etc/docker/registry/config.yml"]' \
            "$SUITE_DIR/registry.tar" "$SUITE_REGISTRY/$SUITE_USER/$SUITE_LOGIN_IMAGE"
    fi
    for image in "${all[@]}"; do
        podman push -q --tls-verify=false "$SUITE_REGISTRY/$image" "docker://$mirror/$image"
    done
    exit
fi

podman pull -q "$SUITE_REGISTRY/$name:$SUITE_TAG" >/dev/null
status=0
bats --formatter tap "$1" || status=$?
# Nothing is left in the machine's cgroups.
podman rm -f -t 0 $(podman ps -aq --no-trunc) >/dev/null 2>&1 || true
exit "$status"
