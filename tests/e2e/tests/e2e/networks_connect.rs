//! Containers come into networks and leave them while they run, and between two runs.

use super::images_scratch::has_program;
use super::networks::Host;
use e2e::program;
use std::process::Command;

#[test]
fn a_container_that_runs_comes_into_a_network_and_leaves_it() {
    let test = "a_container_that_runs_comes_into_a_network_and_leaves_it";
    let Some(host) = Host::new(test) else { return };
    let said = host.run(
        "tare network create --subnet 10.78.0.0/24 --subnet fd78::/64 app > /dev/null
         tare run -d --name other --network app box:1 sleep 1000 > /dev/null
         tare run -d --name one box:1 sleep 1000 > /dev/null
         tare exec one busybox head -1 /etc/resolv.conf | grep -c 127.0.0.11 || true
         tare network connect --alias uno --ip 10.78.0.9 --ip6 fd78::9 --link other:that --link-local-ip 169.254.3.4 \
           --mac-address 02:00:00:00:07:08 --driver-opt com.docker.network.endpoint.ifname=lan app one
         tare exec one busybox ip -o addr show lan | grep -o 'inet6* [0-9a-f:./]* ' | sort
         tare exec one busybox ip -o link show lan | grep -o 02:00:00:00:07:08
         tare exec one busybox ip route | grep default
         for name in one uno; do tare exec other busybox nslookup $name | grep -o '10.78.0.9$'; done
         for name in other that; do tare exec one busybox nslookup $name | grep -o '10.78.0.2$'; done
         if tare exec other busybox nslookup that > /dev/null; then exit 9; fi
         tare exec one busybox grep -c 10.78.0.9 /etc/hosts
         show='{{range $name, $it := .NetworkSettings.Networks}}{{$name}} {{$it.IPAddress}} {{$it.Aliases}} {{$it.Links}};{{end}}'
         tare container inspect --format \"$show\" one
         tare network inspect --format '{{range .Containers}}{{.Name}} {{.IPv4Address}};{{end}}' app
         tare restart -t 0 one > /dev/null
         tare container inspect --format \"$show\" one
         tare exec one busybox ip -o addr show lan | grep -c 10.78.0.9
         tare exec other busybox nslookup uno | grep -o '10.78.0.9$'
         tare network disconnect app one
         if tare exec one busybox ip link show lan 2> /dev/null; then exit 9; fi
         if tare exec other busybox nslookup uno > /dev/null; then exit 9; fi
         tare exec one busybox grep -c 10.78.0.9 /etc/hosts || true
         tare container inspect --format \"$show\" one
         tare restart -t 0 one > /dev/null
         tare container inspect --format \"$show\" one
         tare rm -f other > /dev/null; tare network rm app",
    );
    let expected = "0\n\
        inet 10.78.0.9/24 \ninet 169.254.3.4/16 \ninet6 fd78::9/64 \ninet6 fe80::ff:fe00:708/64 \n\
        02:00:00:00:07:08\ndefault via 172.17.0.1 dev eth0 \n\
        10.78.0.9\n10.78.0.9\n10.78.0.2\n10.78.0.2\n1\n\
        app 10.78.0.9 [uno] [other:that];bridge 172.17.0.2 [] [];\n\
        one 10.78.0.9/24;other 10.78.0.2/24;\n\
        app 10.78.0.9 [uno] [other:that];bridge 172.17.0.2 [] [];\n1\n10.78.0.9\n\
        0\nbridge 172.17.0.2 [] [];\nbridge 172.17.0.2 [] [];\napp\n";
    assert_eq!(sorted_containers(&said), sorted_containers(expected));
}

/// docker's order of a network's containers is that of their identifiers, which are random.
fn sorted_containers(text: &str) -> String {
    let sort = |line: &str| {
        let mut parts: Vec<&str> = line.split_inclusive(';').collect();
        parts.sort_unstable();
        parts.concat()
    };
    text.lines().map(|line| format!("{}\n", sort(line))).collect()
}

#[test]
fn a_container_between_two_runs_comes_into_networks_and_leaves_them() {
    let test = "a_container_between_two_runs_comes_into_networks_and_leaves_them";
    let Some(host) = Host::new(test) else { return };
    let said = host.run(
        "id=$(tare network create --subnet 10.78.0.0/24 app)
         tare network create --subnet 10.79.0.0/24 back > /dev/null
         tare create --name one --network $id box:1 sleep 1000 > /dev/null
         tare network connect --ip 10.79.0.7 back one
         if tare network connect back one 2> err; then exit 9; fi; cat err
         names='{{range $name, $it := .NetworkSettings.Networks}}{{$name}}={{$it.IPAddress}} {{end}}'
         tare container inspect --format \"$names\" one
         tare start one > /dev/null
         tare container inspect --format \"$names\" one
         tare stop -t 0 one > /dev/null
         tare network disconnect $id one
         tare start one > /dev/null
         tare container inspect --format \"$names\" one
         tare exec one busybox ip route | grep default
         tare stop -t 0 one > /dev/null; tare network rm app; rm err",
    );
    let expected = "tare: endpoint with name one already exists in network back\n\
        app= back= \napp=10.78.0.2 back=10.79.0.7 \nback=10.79.0.7 \n\
        default via 10.79.0.1 dev eth0 \napp\n";
    assert_eq!(said, expected);
}

#[test]
fn published_ports_go_on_through_another_network() {
    let test = "published_ports_go_on_through_another_network";
    let Some(host) = Host::new(test).filter(|_| has_program(test, "nft")) else { return };
    let said = host.run(
        "ask() { for i in $(busybox seq 1200); do busybox wget -qO- $1 2>/dev/null && return; sleep 0.1; done; return 1; }
         tare network create app > /dev/null
         tare run -d --name one -p 8080:80 box:1 busybox sh -c 'mkdir /w; echo it > /w/index.html; exec busybox httpd -f -p 80 -h /w' > /dev/null
         ask http://127.0.0.1:8080/
         tare network connect app one; tare network disconnect bridge one
         ask http://127.0.0.1:8080/
         tare network disconnect app one
         if busybox wget -T 1 -qO- http://127.0.0.1:8080/ 2> /dev/null; then exit 9; fi
         tare container inspect --format '{{len .NetworkSettings.Networks}}' one
         tare network connect bridge one
         ask http://127.0.0.1:8080/
         nft flush ruleset
         if busybox wget -T 1 -qO- http://127.0.0.1:8080/ 2> /dev/null; then exit 9; fi
         tare network reload one | wc -c
         ask http://127.0.0.1:8080/
         nft flush ruleset; tare network reload --all | wc -l
         ask http://127.0.0.1:8080/
         tare events --since 1h --until 0s --filter type=network --format '{{.Action}} {{.Actor.Attributes.name}}'",
    );
    let expected = "it\nit\n0\nit\n65\nit\n1\nit\n\
        create app\nconnect bridge\nconnect app\ndisconnect bridge\ndisconnect app\nconnect bridge\n";
    assert_eq!(said, expected);
}

#[test]
fn what_cannot_be_connected_is_refused_with_the_reason() {
    let test = "what_cannot_be_connected_is_refused_with_the_reason";
    let Some(host) = Host::new(test) else { return };
    let said = host.run(
        "fails() { if \"$@\" 2> err; then exit 9; fi; head -1 err; rm err; }
         tare network create --subnet 10.78.0.0/24 app > /dev/null
         tare run -d --name it --network none box:1 sleep 1000 > /dev/null
         tare run -d --name on --network host box:1 sleep 1000 > /dev/null
         tare run -d --name in --network container:it box:1 sleep 1000 > /dev/null
         tare run -d --name one --network app box:1 sleep 1000 > /dev/null
         tare run -d --name two box:1 sleep 1000 > /dev/null
         for name in it on in; do fails tare network connect app $name; done
         fails tare network connect host one
         fails tare network connect app one
         fails tare network connect nobody one
         fails tare network connect app nobody
         fails tare network connect --ip 10.1.1.1 app two
         fails tare network connect --ip 10.78.0.2 app two
         fails tare network connect --alias x bridge one
         fails tare network connect --link nobody:x app two
         fails tare network connect --link-local-ip 10.1.1.1 app two
         fails tare network connect --driver-opt a=b app two
         fails tare network connect --gw-priority 7 app two
         fails tare network disconnect app two
         fails tare network disconnect -f app nobody
         tare container inspect --format '{{range $name, $it := .NetworkSettings.Networks}}{{$name}} {{end}}' one two",
    );
    let shared = "tare: container sharing network namespace with another container or host cannot be connected to any other network";
    let alone = "tare: container cannot be connected to multiple networks with one of the networks in private (none) mode";
    let of_host =
        "tare: container cannot be disconnected from host network or connected to host network";
    let expected = [
        alone,
        of_host,
        shared,
        of_host,
        "tare: endpoint with name one already exists in network app",
        "tare: network nobody not found",
        "tare: No such container: nobody",
        "tare: network app: address 10.1.1.1: it belongs to none of its subnets",
        "tare: network app: address 10.78.0.2: a container has it already",
        "tare: network-scoped aliases are only supported for user-defined networks",
        "tare: No such container: nobody",
        "tare: invalid link-local IP address: 10.1.1.1",
        "tare: --driver-opt a: there is no such option",
        "tare: --gw-priority: the default route stays with the first network that has one",
        "tare: container two is not connected to network app",
        "tare: No such container: nobody",
        "app ",
        "bridge ",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn an_ordinary_user_is_told_why_a_container_is_in_no_other_network() {
    let test = "an_ordinary_user_is_told_why_a_container_is_in_no_other_network";
    let Some(host) = Host::new(test) else { return };
    let scratch = &host.0;
    std::fs::copy(program("tare"), scratch.path("tare")).unwrap();
    scratch.sh("mkdir home; chmod 755 . tare; chown 65534:65534 home");
    let user = "setpriv --reuid 65534 --regid 65534 --clear-groups env -u XDG_CONFIG_HOME -u TARE_NETWORK \
                HOME=$PWD/home XDG_RUNTIME_DIR=$PWD/home ./tare --root home/store --runroot home/run";
    let script = format!(
        "cd {}; user() {{ {user} \"$@\"; }}
         user import -q box.tar box:1 > /dev/null
         user network create app > /dev/null
         user create --name one --network pasta box:1 true > /dev/null
         user create --name two --network none box:1 true > /dev/null
         for name in one two; do if user network connect app $name 2> home/err; then exit 9; fi; cat home/err; done
         user network rm app",
        scratch.path(""),
    );
    let output = Command::new("unshare").args(["-n", "-m", "sh", "-ec", &script]).output().unwrap();
    let expected = "tare: container is connected by pasta, which knows no other networks\n\
        hint: `tare network create NAME`, and --network NAME when the container is made\n\
        tare: container cannot be connected to multiple networks with one of the networks in private (none) mode\napp\n";
    assert_eq!(e2e::stdout(&output), expected, "{}", e2e::stderr(&output));
}

#[test]
fn the_place_of_a_container_that_is_gone_is_taken_back_by_force() {
    let test = "the_place_of_a_container_that_is_gone_is_taken_back_by_force";
    let Some(host) = Host::new(test) else { return };
    let said = host.run(
        "tare network create --subnet 10.78.0.0/24 app > /dev/null
         tare run -d --name one --network app box:1 sleep 1000 > /dev/null
         id=$(tare container inspect --format '{{.Id}}' one); net=$(tare network inspect --format '{{.Id}}' app)
         cp RUN/networks/$net/attachments/$id kept
         tare rm -f one > /dev/null; cp kept RUN/networks/$net/attachments/$id; rm kept
         if tare network rm app 2> err; then exit 9; fi; head -1 err; rm err
         tare network disconnect -f app one
         tare network rm app"
            .replace("RUN", &host.0.path("run"))
            .as_str(),
    );
    assert_eq!(said, "tare: network app is in use by one\napp\n");
}

#[test]
fn links_of_the_default_network_tell_of_each_other_as_docker_does() {
    let test = "links_of_the_default_network_tell_of_each_other_as_docker_does";
    let Some(host) = Host::new(test) else { return };
    let said = host.run(
        "tare run -d --name db -e SECRET='a b' --expose 5432 --expose 53/udp box:1 sleep 1000 > /dev/null
         tare run --rm --name web --link db:my-db -e MY_DB_NAME=own box:1 busybox env | grep ^MY_DB | sort
         tare run --rm --name web --link db:my-db box:1 cat /etc/hosts | grep -o 'my-db .*'
         tare run --rm --name web --link db box:1 sh -c 'echo $DB_NAME'
         tare run -d --name web --link db box:1 sleep 1000 > /dev/null; tare exec web sh -c 'echo $DB_PORT'
         tare network create app > /dev/null; tare network connect app db
         tare run --rm --network app --link db box:1 busybox env | grep -oE '^(PATH|DB_)'
         tare inspect -f '{{slice .Id 0 12}}' db
         tare stop -t 0 db > /dev/null
         if tare run --rm --name late --link db box:1 pwd 2> err; then exit 9; fi; cat err; rm err",
    );
    let lines: Vec<&str> = said.lines().collect();
    let id = lines[lines.len() - 3];
    let expected = [
        "MY_DB_ENV_SECRET=a b",
        "MY_DB_NAME=own",
        "MY_DB_PORT=udp://172.17.0.2:53",
        "MY_DB_PORT_53_UDP=udp://172.17.0.2:53",
        "MY_DB_PORT_53_UDP_ADDR=172.17.0.2",
        "MY_DB_PORT_53_UDP_PORT=53",
        "MY_DB_PORT_53_UDP_PROTO=udp",
        "MY_DB_PORT_5432_TCP=tcp://172.17.0.2:5432",
        "MY_DB_PORT_5432_TCP_ADDR=172.17.0.2",
        "MY_DB_PORT_5432_TCP_PORT=5432",
        "MY_DB_PORT_5432_TCP_PROTO=tcp",
        &format!("my-db {id} db"),
        "/web/db",
        "udp://172.17.0.2:53",
        // No variable of the link's, beside one that is always there.
        "PATH",
        id,
        "tare: cannot link to a non running container: /db AS /late/db",
        "hint: `tare start db` first",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn an_end_is_told_before_what_it_leaves_and_so_are_copies() {
    let test = "an_end_is_told_before_what_it_leaves_and_so_are_copies";
    let Some(host) = Host::new(test) else { return };
    let said = host.run(
        "tare run --name it -v data:/d box:1 pwd > /dev/null
         echo x > x; tare cp x it:/; tare cp it:/x y; tare cp it:/x - > z
         if tare cp it:/nosuch . 2> /dev/null; then exit 9; fi
         tare create --name other box:1 pwd > /dev/null; tare cp it:/x other:/
         tare rm it other > /dev/null
         tare events --since 1h --until 0s --format '{{.Type}} {{.Action}} {{.Actor.Attributes.type}}'",
    );
    let expected = "image import \nvolume create \ncontainer create \ncontainer attach \nnetwork connect bridge\n\
        volume mount \ncontainer start \ncontainer die \nnetwork disconnect bridge\nvolume unmount \n\
        container extract-to-dir \ncontainer archive-path \ncontainer archive-path \ncontainer create \n\
        container archive-path \ncontainer extract-to-dir \ncontainer destroy \ncontainer destroy \n";
    assert_eq!(said.replace("<no value>", ""), expected);
}
