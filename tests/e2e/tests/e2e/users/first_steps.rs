//! The commands that docker's "get started" and podman's tutorial have their readers type, with `tare` in their place.

use super::{User, World};

/// docker's workshop, parts 2 to 5, as far as they are no builds: run, look, change, persist, share, clean up.
const DOCKERS: &str = r#"
tare run -d -p 127.0.0.1:3000:80 --name first nginx > id
[ $(wc -c < id) = 65 ]
until curl -s --max-time 60 http://127.0.0.1:3000/; do sleep 0.1; done
tare ps --format 'table {{.Image}}\t{{.Names}}\t{{.Ports}}'
tare exec $(cat id) cat /usr/share/nginx/html/index.html
tare stop first
tare rm first
tare volume create todo-db
tare run --rm --mount type=volume,src=todo-db,target=/etc/todos debian:13 bash -c 'echo item > /etc/todos/list'
tare run --rm --mount type=volume,src=todo-db,target=/etc/todos debian:13 cat /etc/todos/list
tare volume inspect todo-db --format '{{.Name}} {{.Driver}}'
mkdir -p src; echo shared > src/file
tare run --rm -v "$PWD/src:/src" -w /src debian:13 cat file
tare run --rm --mount type=bind,src="$PWD/src",target=/src debian:13 bash -c 'echo changed > /src/file'
cat src/file
tare run -it debian:13 echo 2>&1 | grep -o 'stdin is not a terminal'
tare run -d --name ubuntu debian:13 bash -c 'echo 4711 > /data.txt && tail -f /dev/null' > /dev/null
until [ "$(tare exec ubuntu cat /data.txt 2> /dev/null)" = 4711 ]; do sleep 0.1; done
tare exec ubuntu cat /data.txt
tare container ls -q | wc -l
tare rm -f ubuntu
tare image ls --format '{{.Repository}}:{{.Tag}}' | sort
tare tag nginx registry.example.com/team/web:1.0
tare image rm registry.example.com/team/web:1.0
tare volume rm todo-db
tare container prune -f > /dev/null; tare ps -aq | wc -l
"#;

const DOCKERS_SAID: &str = "Welcome to nginx!
IMAGE     NAMES     PORTS
nginx     first     127.0.0.1:3000->80/tcp
Welcome to nginx!
first
first
todo-db
item
todo-db local
shared
changed
stdin is not a terminal
4711
1
ubuntu
docker.io/library/debian:13
docker.io/library/nginx:latest
Untagged: registry.example.com/team/web:1.0
todo-db
0
";

/// podman's introduction: pull, list, run, inspect, test, logs, top, pause, stop, remove.
const PODMANS: &str = r#"
tare pull -q docker.io/library/nginx > /dev/null
tare images --format '{{.Repository}}'
tare run --name basic_httpd -dt -p 8080:80/tcp docker.io/nginx > /dev/null
tare ps --format '{{.Names}} {{.Image}} {{.State}}'
until curl -s --max-time 60 http://localhost:8080; do sleep 0.1; done
tare inspect basic_httpd --format '{{.State.Status}} {{.Config.Cmd}}'
until tare logs basic_httpd 2>/dev/null | grep -o 'GET / HTTP/1.1'; do sleep 0.1; done
tare top basic_httpd | grep -c 'nginx: '
tare port basic_httpd 80 | head -1
tare cp basic_httpd:/usr/share/nginx/html/index.html - | tar -xO
tare stop basic_httpd
tare ps -a --format '{{.Names}} {{.State}}'
tare rm basic_httpd
tare run --rm debian:13 bash -c 'id -u; exit 3' || echo "exit code $?"
tare rmi nginx | sed 's/sha256.*//'
"#;

const PODMANS_SAID: &str = "docker.io/library/nginx
basic_httpd docker.io/nginx running
Welcome to nginx!
running [nginx -g daemon off;]
GET / HTTP/1.1
2
0.0.0.0:8080
Welcome to nginx!
basic_httpd
basic_httpd exited
basic_httpd
0
exit code 3
Untagged: docker.io/library/nginx:latest
Deleted: 
";

const NEEDED: &[&str] = &["debian:13", "nginx:latest"];

fn dockers(test: &str, user: User) {
    let Some(world) = World::new(test, user, NEEDED) else { return };
    assert_eq!(world.run(DOCKERS), DOCKERS_SAID);
}

fn podmans(test: &str, user: User) {
    let Some(world) = World::new(test, user, NEEDED) else { return };
    assert_eq!(world.run(PODMANS), PODMANS_SAID);
}

#[test]
fn dockers_first_steps_work_for_root() {
    dockers("dockers_first_steps_work_for_root", User::Root);
}

#[test]
fn dockers_first_steps_work_for_an_ordinary_user() {
    dockers("dockers_first_steps_work_for_an_ordinary_user", User::Ordinary);
}

#[test]
fn podmans_first_steps_work_for_root() {
    podmans("podmans_first_steps_work_for_root", User::Root);
}

#[test]
fn podmans_first_steps_work_for_an_ordinary_user() {
    podmans("podmans_first_steps_work_for_an_ordinary_user", User::Ordinary);
}
