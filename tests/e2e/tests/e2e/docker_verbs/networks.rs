//! `tare network`.

use super::{Ends, Group, Is, Prints, Refused};

/// Why options of swarm's networks are refused.
const SWARM: &str = "it is for a swarm";

pub(super) const GROUP: Group = Group {
    setup: "export PATH=\"$PWD/path:$PATH\"
        tare network create --label tier=back app > /dev/null
        tare run -d --name user --network app box:1 sleep 1000 > /dev/null
        tare create --name other --network app box:1 sleep 1000 > /dev/null; tare network disconnect app other
        tare network create --subnet 10.80.0.0/24 --subnet fd80::/64 lan > /dev/null
        here() { tare container inspect -f \"{{with .NetworkSettings.Networks.lan}}$1{{end}}\" user; }
        leave() { tare network disconnect lan user; }
        networks() { tare network ls --format '{{.Name}}' \"$@\"; }
        show() { tare network inspect -f \"$@\"; }",
    rows: &[
        (
            "network connect",
            "",
            "tare network connect lan user; here '{{.IPAddress}}'; leave",
            Is("10.80.0.2"),
        ),
        ("network connect", "", "tare network connect app user", Ends(1, "already exists")),
        (
            "network connect",
            "--alias",
            "tare network connect --alias uno lan user; here '{{.Aliases}}'; leave",
            Is("[uno]"),
        ),
        (
            "network connect",
            "--driver-opt",
            "tare network connect --driver-opt com.docker.network.endpoint.ifname=lan0 lan user; \
             tare exec user busybox ip -o link show lan0 | wc -l; leave",
            Is("1"),
        ),
        (
            "network connect",
            "--gw-priority",
            "tare network connect --gw-priority 7 lan user",
            Refused("the default route stays with the first network that has one"),
        ),
        (
            "network connect",
            "--ip",
            "tare network connect --ip 10.80.0.9 lan user; here '{{.IPAddress}}'; leave",
            Is("10.80.0.9"),
        ),
        (
            "network connect",
            "--ip6",
            "tare network connect --ip6 fd80::9 lan user; here '{{.GlobalIPv6Address}}'; leave",
            Is("fd80::9"),
        ),
        (
            "network connect",
            "--link",
            "tare network connect lan other; tare start other > /dev/null; tare network connect --link other:that lan user; \
             tare exec user busybox nslookup that | grep -o '10.80.0.[0-9]*$'; leave; tare rm -f other > /dev/null",
            Is("10.80.0.2"),
        ),
        (
            "network connect",
            "--link-local-ip",
            "tare network connect --link-local-ip 169.254.7.8 lan user; \
             tare exec user busybox ip -o addr | grep -o '169.254.7.8/16'; leave",
            Is("169.254.7.8/16"),
        ),
        (
            "network disconnect",
            "",
            "tare network connect lan user; leave; here '{{.IPAddress}}'",
            Is(""),
        ),
        ("network disconnect", "", "leave", Ends(1, "is not connected to network lan")),
        (
            "network disconnect",
            "--force",
            "tare network disconnect -f lan nosuch",
            Ends(1, "No such container: nosuch"),
        ),
        ("network rm", "", "tare network rm lan", Is("lan")),
        ("network create", "", "tare network create free | wc -c", Is("65")),
        ("network create", "", "tare network create app", Ends(1, "network app exists already")),
        (
            "network create",
            "--attachable",
            "tare network create --attachable n1 > /dev/null; show '{{.Attachable}}' n1",
            Is("true"),
        ),
        (
            "network create",
            "--aux-address",
            "tare network create --subnet 10.81.0.0/24 --aux-address router=10.81.0.2 n2 > /dev/null; \
             tare run --rm --network n2 box:1 busybox hostname -i",
            Is("10.81.0.3"),
        ),
        (
            "network create",
            "--config-from",
            "tare network create --config-from a x",
            Refused(SWARM),
        ),
        ("network create", "--config-only", "tare network create --config-only x", Refused(SWARM)),
        ("network create", "--driver", "tare network create -d overlay x", Refused("overlay")),
        (
            "network create",
            "--gateway",
            "tare network create --subnet 10.82.0.0/24 --gateway 10.82.0.9 n3 > /dev/null; \
             tare run --rm --network n3 box:1 busybox ip route | grep -o 'via [0-9.]*'",
            Is("via 10.82.0.9"),
        ),
        ("network create", "--ingress", "tare network create --ingress x", Refused(SWARM)),
        (
            "network create",
            "--internal",
            "tare network create --internal n4 > /dev/null; \
             tare run --rm --network n4 box:1 busybox ip route | grep -c default",
            Ends(1, "0"),
        ),
        (
            "network create",
            "--ip-range",
            "tare network create --subnet 10.83.0.0/24 --ip-range 10.83.0.128/25 n5 > /dev/null; \
             tare run --rm --network n5 box:1 busybox hostname -i",
            Prints("10.83.0.1"),
        ),
        (
            "network create",
            "--ipam-driver",
            "tare network create --ipam-driver dhcp x",
            Refused("there is no such driver"),
        ),
        (
            "network create",
            "--ipam-opt",
            "tare network create --ipam-opt a=b n6 > /dev/null; show '{{.IPAM.Options.a}}' n6",
            Is("b"),
        ),
        (
            "network create",
            "--ipv4",
            "tare network create --ipv4=false --ipv6 n7 > /dev/null; show '{{.EnableIPv4}} {{.EnableIPv6}}' n7",
            Is("false true"),
        ),
        (
            "network create",
            "--ipv6",
            "tare network create --ipv6 n8 > /dev/null; show '{{.EnableIPv4}} {{.EnableIPv6}}' n8",
            Is("true true"),
        ),
        (
            "network create",
            "--label",
            "tare network create --label a=b n9 > /dev/null; show '{{.Labels.a}}' n9",
            Is("b"),
        ),
        (
            "network create",
            "--opt",
            "tare network create -o com.docker.network.driver.mtu=1400 n10 > /dev/null; \
             tare run --rm --network n10 box:1 cat /sys/class/net/eth0/mtu",
            Is("1400"),
        ),
        ("network create", "--scope", "tare network create --scope swarm x", Refused(SWARM)),
        (
            "network create",
            "--subnet",
            "tare network create --subnet 10.84.0.0/24 n11 > /dev/null; \
             show '{{range .IPAM.Config}}{{.Subnet}}{{end}}' n11",
            Is("10.84.0.0/24"),
        ),
        ("network inspect", "", "tare network inspect app", Prints("\"Name\": \"app\"")),
        ("network inspect", "", "tare network inspect nosuch", Ends(1, "nosuch")),
        (
            "network inspect",
            "--format",
            "tare network inspect -f '{{.Driver}} {{range .Containers}}{{.Name}}{{end}}' app",
            Is("bridge user"),
        ),
        (
            "network inspect",
            "--verbose",
            "tare network inspect -v app",
            Prints("\"Name\": \"app\""),
        ),
        ("network ls", "", "tare network ls", Prints("NETWORK ID     NAME      DRIVER    SCOPE\n")),
        ("network ls", "--quiet", "tare network ls -q --filter name=^app$ | wc -c", Is("13")),
        (
            "network ls",
            "--no-trunc",
            "tare network ls -q --no-trunc --filter name=^app$ | wc -c",
            Is("65"),
        ),
        ("network ls", "--filter", "networks --filter dangling=false | grep app", Is("app")),
        ("network ls", "--filter", "networks --filter driver=host", Is("host")),
        (
            "network ls",
            "--filter",
            "networks --filter id=$(tare network inspect -f '{{.Id}}' app)",
            Is("app"),
        ),
        ("network ls", "--filter", "networks --filter label=tier=back", Is("app")),
        ("network ls", "--filter", "networks --filter 'name=^n1$'", Is("n1")),
        ("network ls", "--filter", "networks --filter scope=swarm", Is("")),
        ("network ls", "--filter", "networks --filter type=builtin", Is("bridge\nhost\nnone")),
        (
            "network ls",
            "--filter",
            "networks --filter nosuch=x",
            Ends(1, "there is no such filter"),
        ),
        (
            "network ls",
            "--format",
            "tare network ls -f name=app --format '{{.Name}} {{.Driver}} {{.Scope}} {{.IPv4}} {{.IPv6}} {{.Internal}} {{.Labels}} {{.Label \"tier\"}}'",
            Is("app bridge local true false false tier=back back"),
        ),
        (
            "network ls",
            "--format",
            "tare network ls -f name=app --format '{{.ID}} {{.CreatedAt}}'",
            Prints(" 2"),
        ),
        (
            "network ls",
            "--format",
            "tare network ls -f name=app --format 'table {{.Name}}\\t{{.Internal}}'",
            Is("NAME      INTERNAL\napp       false"),
        ),
        ("network rm", "", "tare network rm n1 n2", Is("n1\nn2")),
        ("network rm", "", "tare network rm app", Ends(1, "app")),
        ("network rm", "", "tare network rm bridge", Ends(1, "pre-defined")),
        ("network rm", "--force", "tare network rm -f nosuch", Ends(0, "")),
        (
            "network prune",
            "--filter",
            "tare network prune -f --filter label=a; networks --filter name=^n9$",
            Is("Deleted Networks:\nn9"),
        ),
        (
            "network prune",
            "--filter",
            "tare network create --label stay=yes s1 > /dev/null; tare network prune -f --filter 'label!=stay' > /dev/null; \
             networks --filter type=custom",
            Is("app\ns1"),
        ),
        ("network prune", "--filter", "tare network prune -f --filter until=1h", Is("")),
        ("network prune", "", "echo n | tare network prune; networks --filter name=s1", Is("s1")),
        ("network prune", "--force", "tare network prune -f", Is("Deleted Networks:\ns1")),
    ],
};
