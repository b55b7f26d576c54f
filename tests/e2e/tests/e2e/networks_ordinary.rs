//! Networks of an ordinary user's own, on a host that is a network namespace of the test's own, with somebody behind it.

use super::images_scratch::{Scratch, has_program};
use super::networks::GONE;
use super::running::box_with;
use e2e::{program, stderr, stdout};
use std::process::Command;

/// What scripts have: `user` is the program as an ordinary user types it, `out` does something behind the host.
const WORDS: &str = r##"
ip link set lo up; ip link add d0 type veth peer name d1; ip addr add 10.5.5.1/24 dev d0; ip link set d0 up
unshare -n sleep 1000 > /dev/null 2>&1 & own=$! world=$!
until [ "$(readlink /proc/$world/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.05; done
ip link set d1 netns $world
out() { nsenter -t $world -n "$@"; }
out ip link set lo up; out ip addr add 10.5.5.2/24 dev d1; out ip link set d1 up
ROUTE
user() { setpriv --reuid 65534 --regid 65534 --clear-groups env -u XDG_CONFIG_HOME -u TARE_NETWORK \
    HOME=$dir/home XDG_RUNTIME_DIR=$dir/home $dir/tare --root $dir/home/store --runroot $dir/home/run "$@"; }
# Until it succeeds.
soon() { for i in $(seq 1200); do if "$@" 2> /dev/null; then return; fi; sleep 0.1; done; echo "never: $*"; return 1; }
# Its name, to whoever asks, and who that was.
serve='mkdir -p /w/cgi-bin; cp /etc/hostname /w/index.html
printf "#!/bin/sh\necho; echo \$REMOTE_ADDR\n" > /w/cgi-bin/who; chmod 755 /w/cgi-bin/who; exec busybox httpd -f -p 80 -h /w'
# It returns when somebody listens there.
web() { name=$1; shift; user run -d --name $name -h $name "$@" box:1 sh -c "$serve" > /dev/null; listens $name; }
listens() { for try in $(seq 1200); do
    if grep -qs ':0050 .* 0A ' /proc/$(of $1 '{{.State.Pid}}')/net/tcp*; then return; fi; sleep 0.05; done; echo "$1 is silent"; return 1; }
# Asks from a container.
ask() { user exec $1 busybox timeout 60 busybox wget -qO- http://$2; }
# The same, where nobody should answer.
deaf() { if user exec $1 busybox timeout 3 busybox wget -qO- http://$2 2> /dev/null; then echo "$1 reaches $2"; return 9; fi; }
curl() { command curl --max-time 60 "$@"; }
of() { user container inspect --format "$2" $1; }
supervisor() { sed -n 's/.*"supervisor":\([0-9]*\).*/\1/p' home/store/containers/$(of $1 '{{.Id}}')/state.json; }
# The children of a container's supervisor that are none of its program.
pasta() { for child in $(cat /proc/$(supervisor $1)/task/*/children); do
    [ $child = $(of $1 '{{.State.Pid}}') ] || echo $child; done; }
# Files of networks, and processes of this store: those that have ended what they were for may still be about to go.
left() { for try in $(seq 600); do [ -n "$(look)" ] || return 0; sleep 0.1; done; look; }
look() { find home/run -path '*/leases/*' -o -path '*/attachments/*' -o -path '*/joined/*' -o -path '*/ground/*' ! -name lock
    for it in /proc/[0-9]*; do
        if grep -qs "$dir" $it/cmdline && grep -q '^Name:.*\(tare\|pas\)' $it/status; then cat $it/comm; fi; done; }
user import -q box.tar box:1 > /dev/null
"##;

struct Ordinary {
    scratch: Scratch,
    has_route: bool,
}

impl Ordinary {
    /// A user with these ranges of ids.
    fn new(test: &str, ranges: &str) -> Option<Self> {
        let needed = ["unshare", "nsenter", "setpriv", "pasta", "newuidmap"];
        if needed.iter().any(|name| !has_program(test, name)) {
            return None;
        }
        let scratch = box_with(test, &["CMD [\"sh\"]"])?;
        std::fs::copy(program("tare"), scratch.path("tare")).unwrap();
        std::fs::write(scratch.path("ranges"), format!("{ranges}\n")).unwrap();
        scratch.sh("mkdir home; chmod 755 . tare; chown 65534:65534 home");
        Some(Self { scratch, has_route: true })
    }

    /// What a script prints. Its failure is the test's, and so is what is left at its end.
    fn run(&self, script: &str) -> String {
        let dir = self.scratch.path("");
        let route = if self.has_route { "ip route add default via 10.5.5.2" } else { "" };
        let words = format!("{GONE}\n{}", WORDS.replace("ROUTE", route));
        let script = format!(
            "dir={dir}; cd $dir; mount --bind ranges /etc/subuid; mount --bind ranges /etc/subgid
             trap 'user rm -af > /dev/null 2>&1 || true; kill $own' EXIT
             {words}\n{script}\n
             user rm -af > /dev/null; user network prune -f > /dev/null; left",
            dir = dir.trim_end_matches('/'),
        );
        let mut command = Command::new("unshare");
        command.args(["-n", "-m", "bash", "-ec", &script]).stdin(std::process::Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}\n{}", stdout(&output), stderr(&output));
        stdout(&output)
    }
}

const MANY: &str = "65534:200000:65536";

#[test]
fn containers_of_an_ordinary_user_find_each_other_and_the_world() {
    let test = "containers_of_an_ordinary_user_find_each_other_and_the_world";
    let Some(user) = Ordinary::new(test, MANY) else { return };
    let said = user.run(
        "user network create --subnet 10.78.0.0/24 --subnet fd78::/64 app > /dev/null
         user network create --internal --subnet 10.79.0.0/24 back > /dev/null
         user network create other > /dev/null
         web db --network app --ip 10.78.0.9 --network-alias store -p 8080:80
         web hidden --network back
         web far --network other
         user run -d --name one --network app --network back box:1 sleep 1000 > /dev/null
         for it in db store 10.78.0.9 '[fd78::2]' hidden; do ask one $it/; done
         ask one db/cgi-bin/who
         # Not those of other networks.
         deaf one far/
         far=$(of far '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}')
         deaf one $far/
         # The rest of the world, and who it thinks has asked.
         mkdir -p world/cgi-bin; printf '#!/bin/sh\\necho; echo $REMOTE_ADDR\\n' > world/cgi-bin/who; chmod 755 world/cgi-bin/who
         out busybox httpd -f -p 80 -h world > /dev/null 2>&1 & own=\"$own $!\"
         soon ask one 10.5.5.2/cgi-bin/who
         deaf hidden 10.5.5.2/cgi-bin/who
         # Published ports, and whom the container sees.
         soon curl -sf http://127.0.0.1:8080/
         soon out curl -sf http://10.5.5.1:8080/cgi-bin/who
         user port db
         if user run --rm -p 8080:80 --network app box:1 pwd 2> home/err; then exit 9; fi; head -1 home/err
         user network inspect --format '{{len .Containers}}' app
         if user network rm app 2> /dev/null; then exit 9; fi
         user run --rm --userns keep-id --network app box:1 busybox wget -qO- http://db/
         user run --rm --network container:one box:1 busybox wget -qO- http://db/
         user rm -f db one > /dev/null; user network rm app",
    );
    let expected = "db\ndb\ndb\ndb\nhidden\n[fd78::3]\n[::ffff:10.5.5.1]\ndb\n[::ffff:10.5.5.2]\n\
        80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n\
        tare: Bind for 0.0.0.0:8080 failed: port is already allocated\n2\ndb\ndb\napp\n";
    assert_eq!(said, expected);
}

/// One who has one id only.
#[test]
fn a_user_without_ranges_has_networks() {
    let test = "a_user_without_ranges_has_networks";
    let Some(user) = Ordinary::new(test, "") else { return };
    let said = user.run(
        "user network create app > /dev/null
         web db --network app -p 8080:80
         user run --rm --network app box:1 busybox wget -qO- http://db/
         user run --rm --network bridge box:1 busybox ip -o addr show eth0 | grep -o 'inet 172[0-9.]*'
         soon curl -sf http://127.0.0.1:8080/",
    );
    assert_eq!(said, "db\ninet 172.17.0.2\ndb\n");
}

#[test]
fn an_ordinary_users_container_comes_into_networks_and_leaves_them() {
    let test = "an_ordinary_users_container_comes_into_networks_and_leaves_them";
    let Some(user) = Ordinary::new(test, MANY) else { return };
    let said = user.run(
        "user network create --subnet 10.78.0.0/24 app > /dev/null
         user network create --internal --subnet 10.79.0.0/24 back > /dev/null
         web it --network app -p 8080:80
         user run -d --name other --network back box:1 sleep 1000 > /dev/null
         user network connect --ip 10.79.0.9 --alias that back it
         ask other that/; soon curl -sf http://127.0.0.1:8080/
         # What is left leads nowhere, and its ports are nobody's.
         user network disconnect app it
         ask other that/; if curl -sf http://127.0.0.1:8080/; then exit 9; fi
         user exec it busybox ip -o link | busybox cut -d: -f2 | busybox cut -d@ -f1 | busybox sort
         user network disconnect back it; user network connect app it
         soon curl -sf http://127.0.0.1:8080/
         user restart -t 0 it > /dev/null; soon curl -sf http://127.0.0.1:8080/
         of it '{{range $name, $it := .NetworkSettings.Networks}}{{$name}} {{$it.IPAddress}}{{end}}'
         user network disconnect app it; user restart -t 0 it > /dev/null; user network connect app it
         soon curl -sf http://127.0.0.1:8080/
         user stop -t 0 it > /dev/null; user network prune -f; user network ls --format '{{.Name}}'",
    );
    let expected = "it\nit\nit\n eth1\n lo\nit\nit\napp 10.78.0.2\nit\n\
        Deleted Networks:\napp\n\nback\nbridge\nhost\nnone\n";
    assert_eq!(said, expected);
}

/// In each order of three that belong to one container, with another one beside it.
#[test]
fn an_ordinary_users_networks_survive_whoever_is_killed() {
    let test = "an_ordinary_users_networks_survive_whoever_is_killed";
    let Some(user) = Ordinary::new(test, MANY) else { return };
    let said = user.run(
        "user network create --subnet 10.78.0.0/24 app > /dev/null
         web b --network app
         for order in 's p i' 's i p' 'p s i' 'p i s' 'i s p' 'i p s'; do
           web a --network app --ip 10.78.0.9 -p 8080:80
           s=$(supervisor a); p=$(pasta a); i=$(of a '{{.State.Pid}}')
           for it in $order; do eval kill -9 \\$$it 2> /dev/null || true; done
           until of a '{{.State.Status}}' | grep -q exited; do sleep 0.05; done
           user rm -f a > /dev/null
           web a --network app --ip 10.78.0.9 -p 8080:80
           ask b a/; ask a b/; soon curl -sf http://127.0.0.1:8080/
           user rm -f a > /dev/null
         done
         echo pasta alone
         web a --network app -p 8080:80
         soon curl -sf http://127.0.0.1:8080/; p=$(pasta a); kill -9 $p; gone $p
         soon curl -sf http://127.0.0.1:8080/; [ $p != $(pasta a) ]; ask b a/
         echo one supervisor
         s=$(supervisor a); kill -9 $s; gone $s; ask b a/
         web c --network app; ask c a/; ask c b/
         user restart -t 0 a > /dev/null; soon curl -sf http://127.0.0.1:8080/; ask a c/
         echo all supervisors
         all=\"$(supervisor a) $(supervisor b) $(supervisor c)\"; kill -9 $all; gone $all
         # What ran goes on without networks; whoever is started has them.
         soon deaf b c/ > /dev/null
         user restart -t 0 b > /dev/null; user restart -t 0 a > /dev/null; listens b
         soon curl -sf http://127.0.0.1:8080/; ask b a/; ask a b/
         kill -9 $(supervisor a) $(of a '{{.State.Pid}}') $(supervisor b) $(of b '{{.State.Pid}}')
         user rm -f a b c > /dev/null; user network rm app; left",
    );
    let round = "a\nb\na\n";
    let expected = format!(
        "{}pasta alone\na\na\na\none supervisor\na\na\nb\na\nc\nall supervisors\na\na\nb\napp\n",
        round.repeat(6)
    );
    assert_eq!(said, expected);
}

#[test]
fn many_containers_of_an_ordinary_user_come_at_once() {
    let test = "many_containers_of_an_ordinary_user_come_at_once";
    let Some(user) = Ordinary::new(test, MANY) else { return };
    let said = user.run(
        "user network create --internal app > /dev/null
         for i in 1 2 3 4 5 6 7 8 9 10 11 12; do web c$i --network app & all=\"$all $!\"; done; wait $all
         for i in 1 2 3 4 5 6 7 8 9 10 11; do ask c$i c$((i + 1))/; done | busybox tr '\\n' ' '
         for i in 1 2 3 4 5 6 7 8 9 10 11 12; do user rm -f c$i & all=\"$all $!\"; done > /dev/null; wait $all
         user network rm app; left",
    );
    assert_eq!(said, "c2 c3 c4 c5 c6 c7 c8 c9 c10 c11 c12 app\n");
}

#[test]
fn an_ordinary_user_is_told_what_networks_cannot_do() {
    let test = "an_ordinary_user_is_told_what_networks_cannot_do";
    let Some(user) = Ordinary::new(test, MANY) else { return };
    let said = user.run(
        "fails() { if \"$@\" 2> home/err; then exit 9; fi; cat home/err; }
         user network create app > /dev/null; user network create -d macvlan -o parent=d0 lan > /dev/null
         fails user run --rm --network lan box:1 pwd
         fails user run --rm --network app -p 8080:80/sctp box:1 pwd
         fails user run --rm --network app --add-host it:host-gateway box:1 pwd
         user run -d --name kept --network none --userns keep-id box:1 sleep 1000 > /dev/null
         user run -d --name one --network app box:1 sleep 1000 > /dev/null
         fails user run --rm --network app --pid container:kept box:1 pwd
         user run --rm --network app --pid container:one box:1 pwd > /dev/null
         fails user network connect app kept
         user network reload
         mount --bind /dev/null /usr/bin/pasta
         fails user run --rm --network app box:1 pwd
         user network create --internal back > /dev/null; user run --rm --network back box:1 echo inside",
    );
    let expected = "tare: network lan: macvlan is made on a device of the host, which is root's\n\
        hint: ordinary users have networks with a bridge: `tare network create NAME`\n\
        tare: publishing port 80/sctp: pasta knows tcp and udp only\nhint: root publishes it, by rules of the kernel\n\
        tare: --add-host \"it:host-gateway\": there is no network by which the host is reached\n\
        hint: NAME:ADDRESS, such as db:10.0.0.7 or host.docker.internal:host-gateway\n\
        tare: the container whose namespaces it shares has other users than those in networks have\n\
        hint: start that one in a network, too, and without --userns: then both have the same users\n\
        tare: container cannot be connected to multiple networks with one of the networks in private (none) mode\n\
        tare: networks of an ordinary user need the program pasta\n\
        hint: install `passt` (its name in Debian and Fedora), or use --network host or none\ninside\n";
    assert_eq!(said, expected);
}

/// A computer that is not connected: the application on it works all the same.
#[test]
fn networks_of_a_host_without_a_way_out_reach_each_other() {
    let test = "networks_of_a_host_without_a_way_out_reach_each_other";
    let Some(user) = Ordinary::new(test, MANY).map(|it| Ordinary { has_route: false, ..it }) else {
        return;
    };
    let said = user.run(
        "user network create app > /dev/null
         web db --network app
         user logs db 2>&1 | grep -c 'no default route'
         user run --rm --network app box:1 busybox wget -qO- http://db/ 2> /dev/null
         # It comes later.
         echo world > home/index.html; out busybox httpd -f -p 80 -h home > /dev/null 2>&1 & own=\"$own $!\"
         ip route add default via 10.5.5.2
         soon ask db 10.5.5.2/",
    );
    assert_eq!(said, "1\ndb\nworld\n");
}
