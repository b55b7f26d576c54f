//! Containers in networks, on a host that is a network namespace of the test's own.

use super::images_scratch::{Scratch, has_program};
use super::running::box_with;
use e2e::{program, stderr, stdout};
use std::process::Command;

/// `gone PID...` waits until processes that were killed have ended.
pub(super) const GONE: &str = "gone() { for it in $*; do
    while grep -qs '^State:.[^ZX]' /proc/$it/task/*/status; do sleep 0.05; done; done; };";

/// A store whose commands run in a network namespace that only they have.
pub(super) struct Host(pub(super) Scratch);

impl Host {
    pub(super) fn new(test: &str) -> Option<Self> {
        if !has_program(test, "unshare") || Command::new("ip").arg("-V").output().is_err() {
            e2e::skip(test, "needs unshare and ip");
            return None;
        }
        box_with(test, &["CMD [\"sh\"]"]).map(Self)
    }

    /// Runs a script there; `tare` in it is the program with the store.
    pub(super) fn run(&self, script: &str) -> String {
        self.try_run(script).unwrap_or_else(|why| panic!("{why}"))
    }

    /// The same; an error is what it printed and said.
    pub(super) fn try_run(&self, script: &str) -> Result<String, String> {
        let tare = format!(
            "tare() {{ {} --root {} --runroot {} --insecure-policy \"$@\"; }}",
            program("tare").display(),
            self.0.path("store"),
            self.0.path("run"),
        );
        // What is left at the end is shown: nothing may be.
        let script = format!(
            "{tare}; {GONE} unset TARE_NETWORK; ip link set lo up
             trap 'tare rm -af > /dev/null 2>&1 || true' EXIT
             {script}\n\
             tare rm -af > /dev/null; tare network prune -f > /dev/null; ip -br link | grep -v '^lo ' || true"
        );
        let mut command = Command::new("unshare");
        command.args(["-n", "sh", "-ec", &script]).current_dir(self.0.path(""));
        let output = command.output().unwrap();
        match output.status.success() {
            true => Ok(stdout(&output)),
            false => Err(format!("{}\n{}", stdout(&output), stderr(&output))),
        }
    }
}

/// A server that answers with its host name.
const SERVE: &str = "mkdir /w; hostname > /w/index.html; exec httpd -f -p 80 -h /w";
/// Asks until there is an answer.
const ASK: &str = "ask() { for i in $(busybox seq 1200); do busybox wget -qO- $1 2>/dev/null && return; sleep 0.1; done; return 1; };";

#[test]
fn a_published_port_is_reached_from_everywhere() {
    let test = "a_published_port_is_reached_from_everywhere";
    let Some(host) = Host::new(test) else { return };
    let said = host.run(&format!(
        "{ASK} tare run -d --name srv -h srv -p 8080:80 box:1 busybox sh -c 'ln -s busybox /bin/httpd; ln -s busybox /bin/hostname; {SERVE}' > /dev/null
         ask http://127.0.0.1:8080/
         ip=$(tare container inspect --format '{{{{.NetworkSettings.IPAddress}}}}' srv)
         ask http://$ip/
         tare run --rm box:1 busybox wget -qO- http://$ip/
         gate=$(tare container inspect --format '{{{{.NetworkSettings.Gateway}}}}' srv)
         tare exec srv busybox wget -qO- http://$gate:8080/
         tare port srv
         tare run --rm --name late -p 8080:80 box:1 pwd 2> err || echo $?; cat err; rm err
         tare ps -aq --filter name=late
         tare stop -t 0 srv
         if busybox wget -T 1 -qO- http://127.0.0.1:8080/ 2> /dev/null; then exit 9; fi
         tare start srv > /dev/null
         ask http://127.0.0.1:8080/"
    ));
    let expected = "srv\nsrv\nsrv\nsrv\n80/tcp -> 0.0.0.0:8080\n125\n\
                    tare: Bind for 0.0.0.0:8080 failed: port is already allocated\n";
    assert!(said.starts_with(expected), "{said}");
    assert!(said.ends_with("\nsrv\nsrv\n"), "{said}");
}

#[test]
fn containers_find_each_other_by_name() {
    let test = "containers_find_each_other_by_name";
    let Some(host) = Host::new(test) else { return };
    let said = host.run(
        "tare network create --subnet 10.77.0.0/24 app > /dev/null
         tare run -d --name one --network app --network-alias uno --ip 10.77.0.9 box:1 sleep 1000 > /dev/null
         tare run --rm --network app box:1 busybox sh -c 'busybox nslookup one | grep -o 10.77.0.9; busybox nslookup uno | grep -o 10.77.0.9; cat /etc/resolv.conf | head -1'
         tare network inspect --format '{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}' app
         tare run --rm --network name=app,ip=10.77.0.20 box:1 busybox hostname -i
         if tare network rm app 2> /dev/null; then exit 9; fi
         tare rm -f one > /dev/null; tare network rm app",
    );
    let expected =
        "10.77.0.9\n10.77.0.9\nnameserver 127.0.0.11\none 10.77.0.9/24\n10.77.0.20\napp\n";
    assert_eq!(said, expected);
}

/// `ask SECONDS NAME` says whether a name has an address, and whether that was known in time.
const LOOK_UP: &str = "ask() { begun=$(date +%s%3N); tare exec one busybox nslookup $2 > out 2>&1 && echo found || echo failed
    taken=$(($(date +%s%3N) - begun)); [ $taken -lt $(($1 * 1000)) ] || { echo $2 took $taken ms; cat out; }; }
    peak() { sed -n 's/^VmHWM:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/$supervisor/status; };";

#[test]
fn a_dead_name_server_costs_others_nothing() {
    let test = "a_dead_name_server_costs_others_nothing";
    let Some(host) = Host::new(test) else { return };
    // Whatever is sent to the one is never answered; at the other nobody listens.
    let said = host.run(&format!(
        "{LOOK_UP} ip link add d0 type veth peer name d1; ip addr add 192.0.2.1/24 dev d0; ip link set d0 up; ip link set d1 up
         ip neigh add 192.0.2.53 lladdr 02:00:00:00:00:01 dev d0
         tare network create app > /dev/null
         for server in 192.0.2.53 127.0.0.9; do
           tare run -d --name one --network app --dns $server box:1 sleep 1000 > /dev/null
           tare run -d --name two --network app box:1 sleep 1000 > /dev/null
           id=$(tare inspect --format '{{{{.Id}}}}' one)
           supervisor=$(sed -n 's/.*\"supervisor\":\\([0-9]*\\).*/\\1/p' {store}/containers/$id/state.json)
           ask 60 two; ask 60 example.com
           before=$(peak)
           tare exec one sh -c 'for i in 1 2 3 4 5 6 7 8; do for k in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do busybox nslookup x$i$k.example.com > /dev/null 2>&1 & done; done; wait' &
           sleep 0.5
           ask 60 two
           wait
           grown=$(($(peak) - before)); [ $grown -lt 1024 ] || echo it has grown by $grown KiB
           ask 60 two
           tare rm -f one two > /dev/null
         done
         ip link del d0",
        store = host.0.path("store"),
    ));
    assert_eq!(said, "found\nfailed\nfound\nfound\nfound\nfailed\nfound\nfound\n");
}

#[test]
fn namespaces_are_shared_with_a_named_container() {
    let test = "namespaces_are_shared_with_a_named_container";
    let Some(host) = Host::new(test) else { return };
    let said = host.run(&format!(
        "{ASK} tare run -d --name srv -h srv box:1 busybox sh -c 'ln -s busybox /bin/httpd; ln -s busybox /bin/hostname; {SERVE}' > /dev/null
         tare run --rm --network container:srv box:1 busybox sh -c '{ASK} ask http://127.0.0.1/'
         tare run --rm --pid container:srv box:1 busybox ps | grep -c httpd
         tare run --rm --network none box:1 busybox ip -o link | wc -l"
    ));
    assert_eq!(said, "srv\n1\n1\n");
}

#[test]
fn nothing_of_a_network_is_left_whoever_is_killed() {
    let test = "nothing_of_a_network_is_left_whoever_is_killed";
    let Some(host) = Host::new(test) else { return };
    let said = host.run(
        "for i in 1 2 3; do
           tare run -d --name it -p 8080:80 box:1 sleep 1000 > /dev/null
           id=$(tare container inspect --format '{{.Id}}' it)
           killed=$(sed -n 's/.*\"supervisor\":\\([0-9]*\\).*/\\1/p' STORE/containers/$id/state.json)
           [ $i != 2 ] || killed=\"$killed $(tare container inspect --format '{{.State.Pid}}' it)\"
           kill -9 $killed; gone $killed
           # The next command, whichever it is.
           tare ps -a > /dev/null; tare rename it that; tare rename that it
           if [ $i = 2 ]; then
             find RUN/networks -path '*leases/*' -o -path '*attachments/*'
           fi
           tare rm -f it > /dev/null
           tare network prune -f
           ip -br link | grep -c -v '^lo ' || true
           nft list tables 2> /dev/null
           find RUN/networks RUN/joined -path '*leases/*' -o -path '*attachments/*' -o -path 'RUN/joined/*'
         done"
            .replace("STORE", &host.0.path("store"))
            .replace("RUN", &host.0.path("run"))
            .as_str(),
    );
    assert_eq!(said, "0\n0\n0\n");
}

#[test]
fn an_ordinary_user_publishes_a_port() {
    let test = "an_ordinary_user_publishes_a_port";
    let Some(host) = Host::new(test) else { return };
    if !has_program(test, "pasta") || !has_program(test, "newuidmap") {
        return;
    }
    let scratch = &host.0;
    std::fs::copy(program("tare"), scratch.path("tare")).unwrap();
    scratch.sh(
        "mkdir home; chmod 755 . tare; chown 65534:65534 home; echo 65534:200000:65536 > ranges",
    );
    let user = "setpriv --reuid 65534 --regid 65534 --clear-groups env -u XDG_CONFIG_HOME -u TARE_NETWORK \
                HOME=$PWD/home XDG_RUNTIME_DIR=$PWD/home ./tare --root home/store --runroot home/run";
    // pasta shows the container the host's own device, which this host has to have first.
    let script = format!(
        "cd {dir}; trap 'user rm -af > /dev/null 2>&1 || true' EXIT; mount --bind ranges /etc/subuid; mount --bind ranges /etc/subgid
         ip link set lo up; ip link add d0 type veth peer name d1; ip addr add 10.5.5.1/24 dev d0
         ip link set d0 up; ip link set d1 up; ip route add default via 10.5.5.2
         user() {{ {user} \"$@\"; }}
         user import -q box.tar box:1 > /dev/null
         user run -d --name srv -p 8080:80 box:1 busybox sh -c 'mkdir /w; echo mine > /w/index.html; exec busybox httpd -f -p 80 -h /w' > /dev/null
         {ASK} ask http://127.0.0.1:8080/
         user exec srv id -u; user exec -u web srv id -u
         user stop -t 0 srv; user rm srv; user ps -aq
         echo end",
        dir = scratch.path(""),
    );
    let output = Command::new("unshare").args(["-n", "-m", "sh", "-ec", &script]).output().unwrap();
    assert_eq!(stdout(&output), "mine\n0\n33\nsrv\nsrv\nend\n", "{}", stderr(&output));
}
