//! What users type, in a network namespace of their own: the tour of the README in a terminal, the first steps that
//! docker and podman teach, and an application of several containers; as root, as an ordinary user with ranges of ids,
//! and as one without.

mod first_steps;
mod several;
mod tour;

use super::images_scratch::{Scratch, has_program};
use super::popular::{NGINX, PYTHON, REDIS, Recipe, SITE, image};
use e2e::{is_root, program, skip, stderr, stdout};
use std::process::Command;

/// Who types.
#[derive(Clone, Copy, PartialEq, Eq)]
enum User {
    Root,
    /// One whose administrator has given ranges of ids.
    Ordinary,
    /// One without.
    Alone,
}

/// The registry that stands in for docker's.
const REGISTRY: &str = "127.0.0.1:5000";
const DEBIAN: Recipe = Recipe { packages: &["debianutils"], without: &[] };

/// The images that the registry has, and how they are made.
const IMAGES: &[(&str, &Recipe, &[&str])] = &[
    ("debian:13", &DEBIAN, &["CMD [\"bash\"]"]),
    (
        "nginx:latest",
        &NGINX,
        &["CMD [\"nginx\", \"-g\", \"daemon off;\"]", "STOPSIGNAL SIGQUIT", "EXPOSE 80"],
    ),
    ("redis:7", &REDIS, &["CMD [\"redis-server\", \"--protected-mode\", \"no\"]", "WORKDIR /tmp"]),
    ("python:3", &PYTHON, &["CMD [\"python3\"]"]),
];

/// A user with a home, the program on PATH, and a registry.
struct World {
    scratch: Scratch,
    user: User,
    images: &'static [&'static str],
}

impl World {
    /// `None`: the machine cannot run the test; said by SKIP.
    fn new(test: &str, user: User, images: &'static [&'static str]) -> Option<Self> {
        if !is_root() {
            skip(test, "needs root");
            return None;
        }
        let needed: &[&str] = match user {
            User::Root => &["unshare"],
            User::Ordinary => &["unshare", "pasta", "newuidmap"],
            User::Alone => &["unshare", "pasta"],
        };
        if needed.iter().any(|name| !has_program(test, name)) {
            return None;
        }
        let scratch = Scratch::new();
        scratch.sh("mkdir -p home/.config/containers home/run bin etc; chmod 755 .");
        std::fs::copy(program("tare"), scratch.path("bin/tare")).unwrap();
        let docker = format!(
            "[[registry]]\nlocation = \"docker.io\"\n[[registry.mirror]]\nlocation = \"{REGISTRY}\"\ninsecure = true\n"
        );
        std::fs::write(scratch.path("home/.config/containers/registries.conf"), docker).unwrap();
        for (name, recipe, changes) in IMAGES.iter().filter(|it| images.contains(&it.0)) {
            if !image(test, &scratch, name, recipe, changes) {
                return None;
            }
            if name.starts_with("nginx") {
                // What the image of nginx's makers has otherwise than Debian's package.
                std::fs::write(scratch.path("nginx.conf"), SITE).unwrap();
                scratch.sh(
                    "mkdir -p site/etc/nginx site/usr/share/nginx/html; cp nginx.conf site/etc/nginx/
                     echo 'Welcome to nginx!' > site/usr/share/nginx/html/index.html
                     tar -C site -cf site.tar .",
                );
                let layer = scratch.path("site.tar");
                scratch.ok(&["mutate", "append", "--base", name, "-f", &layer, "--tag", name]);
            }
        }
        let ranges = if user == User::Ordinary { "65534:200000:65536" } else { "" };
        std::fs::write(scratch.path("ranges"), format!("{ranges}\n")).unwrap();
        if user != User::Root {
            scratch.sh("chown -R 65534:65534 home");
        }
        Some(Self { scratch, user, images })
    }

    /// Runs a script of the user's; what it prints. Its failure is the test's.
    fn run(&self, script: &str) -> String {
        std::fs::write(self.scratch.path("script"), script).unwrap();
        let dir = self.scratch.path("");
        let (become_user, place) = match self.user {
            User::Root => {
                ("", format!("export TARE_ROOT={dir}home/store TARE_RUNROOT={dir}home/runs"))
            }
            _ => ("setpriv --reuid 65534 --regid 65534 --clear-groups", String::new()),
        };
        let own = format!("{dir}bin/tare --root {dir}store --runroot {dir}run --insecure-policy");
        let push: String = self
            .images
            .iter()
            .map(|name| {
                format!(
                    "{own} push -q --tls-verify=false {name} docker://{REGISTRY}/library/{name}\n"
                )
            })
            .collect();
        // pasta shows the container the host's own device, which this host has to have first.
        let outer = format!(
            "cd {dir}; ip link set lo up; ip link add d0 type veth peer name d1; ip addr add 10.5.5.1/24 dev d0
             ip link set d0 up; ip link set d1 up; ip route add default via 10.5.5.2
             mount --bind ranges /etc/subuid; mount --bind ranges /etc/subgid
             bin/tare registry serve --no-sync --listen {REGISTRY} --root registry > registry.log 2>&1 & server=$!
             trap 'kill $server' EXIT
             until (: < /dev/tcp/127.0.0.1/5000) 2> /dev/null; do sleep 0.05; done
             {push}
             export HOME={dir}home XDG_RUNTIME_DIR={dir}home/run PATH={dir}bin:$PATH; {place}
             unset XDG_CONFIG_HOME XDG_DATA_HOME XDG_CACHE_HOME TARE_NETWORK; cd home
             {become_user} bash -e ../script; code=$?
             {become_user} tare rm -af > /dev/null
             exit $code"
        );
        let mut command = Command::new("unshare");
        command.args(["-n", "-m", "bash", "-c", &outer]).stdin(std::process::Stdio::null());
        let output = command.output().unwrap();
        let (said, told) = (stdout(&output), stderr(&output));
        assert!(output.status.success(), "{said}\n{told}");
        said
    }
}
