//! Programs that everybody runs, from Debian's packages, unmodified, under the rights that containers have by default:
//! what the entry points of their images do, they can do here.

mod debian;

use super::networks::Host;
pub(crate) use debian::{Recipe, image};

pub(super) const TOOLS: Recipe =
    Recipe { packages: &["iputils-ping", "libcap2-bin", "login", "passwd"], without: &[] };
pub(super) const NGINX: Recipe = Recipe { packages: &["nginx"], without: &["perl"] };
pub(super) const REDIS: Recipe = Recipe { packages: &["redis-server"], without: &["perl"] };
pub(super) const POSTGRES: Recipe = Recipe {
    packages: &["postgresql-15"],
    without: &[
        "libllvm14",
        "locales",
        "perl",
        "postgresql-client-common",
        "postgresql-common",
        "ssl-cert",
    ],
};
pub(super) const PYTHON: Recipe = Recipe { packages: &["python3"], without: &[] };
const NODE: Recipe = Recipe { packages: &["nodejs"], without: &["python3", "python3-minimal"] };

/// What the configuration of nginx's own image is like: a site on port 80, and messages to the standard streams.
pub(super) const SITE: &str = "user www-data; pid /run/nginx.pid; error_log /dev/stderr notice; \
    events {} http { access_log /dev/stdout; server { listen 80; root /usr/share/nginx/html; } }";
/// What the entry point of postgres' own image does: as root it gives the directory away, as its user it fills it, and runs.
pub(super) const POSTGRES_ENTRY: &str = "#!/bin/bash
set -e
PATH=$PATH:/usr/lib/postgresql/15/bin
if [ $(id -u) = 0 ]; then
    mkdir -p /data; chown -R postgres:postgres /data; chmod 700 /data
    exec setpriv --reuid=postgres --regid=postgres --init-groups \"$0\" \"$@\"
fi
cd /data
[ -s PG_VERSION ] || { initdb -D /data --auth=trust --no-sync > /tmp/initdb; echo 'host all all all trust' >> pg_hba.conf; }
exec postgres -D /data -c listen_addresses='*' -c unix_socket_directories=/tmp -c jit=off -c fsync=off";
/// Tries a command until it succeeds.
pub(super) const UNTIL: &str = "until_it() { for i in $(seq 1200); do \"$@\" > said 2>&1 && { cat said; return; }; sleep 0.1; done; cat said; return 1; };";

/// A host with an image; the packages may not be there.
fn host(test: &str, name: &str, recipe: &Recipe, changes: &[&str]) -> Option<Host> {
    let host = Host::new(test)?;
    image(test, &host.0, name, recipe, changes).then_some(host)
}

#[test]
fn programs_change_users_and_files_and_ping() {
    let Some(host) = host("programs_change_users_and_files_and_ping", "tools:1", &TOOLS, &[])
    else {
        return;
    };
    let said = host.run(
        "run() { tare run --rm tools:1 \"$@\"; }
         run ping -c 1 127.0.0.1 | grep -o '1 received'
         tare run --rm -u nobody tools:1 ping -c 1 127.0.0.1 | grep -o '1 received'
         run su nobody -s /bin/sh -c 'id -un'
         run setpriv --reuid=nobody --regid=nogroup --init-groups id -un
         run sh -c 'touch /x; chown nobody:nogroup /x; stat -c %U:%G /x; chmod 4755 /x; stat -c %a /x'
         run sh -c 'useradd -m joe; id -un joe; echo joe:secret | chpasswd; stat -c %U /home/joe'
         run sh -c 'kill -0 1; umask 027; mkdir /d; stat -c %a /d'",
    );
    assert_eq!(
        said,
        "1 received\n1 received\nnobody\nnobody\nnobody:nogroup\n4755\njoe\njoe\n750\n"
    );
}

#[test]
fn what_a_program_lacks_is_named_once() {
    let Some(host) = host("what_a_program_lacks_is_named_once", "tools:1", &TOOLS, &[]) else {
        return;
    };
    let said = host.run(
        "run() { tare run --rm \"$@\" 2>&1 | grep '^hint: ' || true; }
         run tools:1 chroot / id
         run tools:1 mknod /x c 1 3
         run tools:1 sh -c 'touch /x; exec setcap cap_net_raw+ep /x'
         run tools:1 sh -c 'exec date -s \"$(date)\"'
         run tools:1 unshare -m true
         run --cap-add SYS_CHROOT tools:1 chroot / id
         run tools:1 sh -c 'mknod /x c 1 3; exit 0'
         run tools:1 sh -c 'echo x: Permission denied >&2; exit 1'
         tare run -d --name gone tools:1 chroot / id > /dev/null; tare wait gone; tare logs gone 2>&1 | tail -1",
    );
    let lines: Vec<&str> = said.lines().collect();
    let expected = [
        "hint: this may need --cap-add SYS_CHROOT",
        "hint: this may need --cap-add MKNOD; --device gives a container a device of this machine",
        "hint: this may need --cap-add SETFCAP",
        "hint: this may need --cap-add SYS_TIME",
        "hint: this may need --cap-add SYS_ADMIN; -v and --tmpfs mount from outside",
        "125",
        "hint: this may need --cap-add SYS_CHROOT",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn nginx_serves_a_page_with_its_workers() {
    let test = "nginx_serves_a_page_with_its_workers";
    let changes = ["CMD [\"nginx\", \"-g\", \"daemon off;\"]", "STOPSIGNAL SIGQUIT", "EXPOSE 80"];
    let Some(host) = host(test, "nginx:1", &NGINX, &changes) else { return };
    std::fs::write(host.0.path("nginx.conf"), SITE).unwrap();
    std::fs::write(host.0.path("index.html"), "a page\n").unwrap();
    let said = host.run(&format!(
        "{UNTIL} tare run -d --name web -p 8080:80 -v $PWD/nginx.conf:/etc/nginx/nginx.conf:ro \
             -v $PWD/index.html:/usr/share/nginx/html/index.html:ro nginx:1 > /dev/null
         until_it busybox wget -qO- http://127.0.0.1:8080/
         tare top web -eo user:20,pid,args | grep -o 'root.*master\\|www-data.*worker' | sed 's/ .*: / /' | sort -u
         tare exec web nginx -s reload
         until_it busybox wget -qO- http://127.0.0.1:8080/
         for i in $(seq 1200); do n=$(tare logs web 2>/dev/null | grep -c 'GET / '); [ $n = 2 ] && break; sleep 0.1; done; echo $n
         tare stop -t 120 web; tare inspect -f '{{{{.State.ExitCode}}}}' web"
    ));
    assert_eq!(said, "a page\nroot master\nwww-data worker\na page\n2\nweb\n0\n");
}

#[test]
fn redis_answers_as_root_and_as_its_user() {
    let test = "redis_answers_as_root_and_as_its_user";
    let Some(host) = host(test, "redis:1", &REDIS, &["CMD [\"redis-server\"]"]) else { return };
    let said = host.run(&format!(
        "{UNTIL} tare run -d --name one -v data:/data -w /data redis:1 \
             sh -c 'chown redis . && exec setpriv --reuid=redis --regid=redis --clear-groups redis-server' > /dev/null
         until_it tare exec one redis-cli ping
         tare exec one redis-cli set key value; tare exec one redis-cli save; tare restart -t 120 one
         until_it tare exec one redis-cli get key
         tare exec one stat -c %U /proc/1 /data/dump.rdb
         tare run -d --name two -u redis -w /tmp redis:1 > /dev/null
         until_it tare exec two redis-cli ping"
    ));
    assert_eq!(said, "PONG\nOK\nOK\none\nvalue\nredis\nredis\nPONG\n");
}

#[test]
fn postgres_makes_its_files_and_answers() {
    let test = "postgres_makes_its_files_and_answers";
    let changes = ["ENTRYPOINT [\"/entry.sh\"]", "STOPSIGNAL SIGINT", "VOLUME /data"];
    let Some(host) = host(test, "postgres:1", &POSTGRES, &changes) else { return };
    host.0.sh(&format!("cat > entry.sh <<'END'\n{POSTGRES_ENTRY}\nEND\nchmod 755 entry.sh"));
    let said = host.run(&format!(
        "{UNTIL} tare run -d --name db -v $PWD/entry.sh:/entry.sh:ro --shm-size 128m postgres:1 > /dev/null
         ask() {{ tare exec -u postgres db /usr/lib/postgresql/15/bin/psql -h /tmp -Atc \"$1\"; }}
         until_it ask 'select 6 * 7'
         ask 'create table t (a int); insert into t select generate_series(1, 1000); select sum(a) from t'
         tare exec db stat -c %U /proc/1 /data
         tare restart -t 120 db; until_it ask 'select count(*) from t'
         tare stop -t 120 db; tare inspect -f '{{{{.State.ExitCode}}}}' db"
    ));
    let expected = "42\nCREATE TABLE\nINSERT 0 1000\n500500\npostgres\npostgres\ndb\n1000\ndb\n0\n";
    assert_eq!(said, expected);
}

#[test]
fn python_and_its_threads_run() {
    let Some(host) = host("python_and_its_threads_run", "python:1", &PYTHON, &[]) else { return };
    let script = "
import os, socket, ssl, subprocess, sys, tempfile, threading, time, multiprocessing
listener = socket.socket(); listener.bind(('', 80)); listener.listen()
threading.Thread(target=lambda: listener.accept()[0].sendall(b'hello')).start()
print(socket.create_connection(('127.0.0.1', 80)).recv(5).decode())
with multiprocessing.Pool(2) as pool: print(sum(pool.map(abs, [-1, -2, -3])))
print(subprocess.run(['id', '-u'], capture_output=True, text=True, user='nobody', group='nogroup').stdout.strip())
with tempfile.NamedTemporaryFile() as file: print(os.stat(file.name).st_uid)
print(ssl.create_default_context().check_hostname, os.getrandom(4) != b'')
";
    std::fs::write(host.0.path("script.py"), script).unwrap();
    let said =
        host.run("tare run --rm -v $PWD/script.py:/script.py:ro python:1 python3 /script.py");
    assert_eq!(said, "hello\n6\n65534\n0\nTrue True\n");
}

#[test]
fn node_serves_and_asks() {
    let Some(host) = host("node_serves_and_asks", "node:1", &NODE, &[]) else { return };
    let script = "
const http = require('http'), fs = require('fs'), { Worker, isMainThread, parentPort } = require('worker_threads');
if (!isMainThread) { parentPort.postMessage('worker'); } else {
  const server = http.createServer((request, response) => response.end('page'));
  server.listen(80, () => http.get('http://127.0.0.1/', response => response.on('data', text => {
    console.log(text.toString());
    new Worker(__filename).on('message', text => {
      console.log(text);
      fs.writeFileSync('/tmp/x', 'x'); fs.chownSync('/tmp/x', 33, 33); process.setgid(33); process.setuid(33);
      console.log(process.getuid(), fs.statSync('/tmp/x').uid);
      process.exit(7);
    });
  })));
}
";
    std::fs::write(host.0.path("script.js"), script).unwrap();
    let said = host.run(
        "tare run --rm -v $PWD/script.js:/script.js:ro node:1 node /script.js || echo \"ended with $?\"",
    );
    assert_eq!(said, "page\nworker\n33 33\nended with 7\n");
}
