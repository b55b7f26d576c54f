//! What is measured, and by whose commands.

use super::{Bench, on_path, words};

/// The tools, in the order of the table.
pub(super) const TOOLS: [&str; 5] = ["tare", "skopeo", "podman", "buildah", "containerd"];

/// One thing that some of the tools can do.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) ways: Vec<Way>,
    /// A directory whose size afterwards counts, too.
    pub(super) out: Option<String>,
}

/// How a tool does it.
pub(super) struct Way {
    pub(super) tool: &'static str,
    /// A shell's commands that come before each round, and are not measured.
    pub(super) prepare: String,
    pub(super) command: Vec<String>,
}

fn row(name: &str) -> Row {
    Row { name: name.to_owned(), ways: Vec::new(), out: None }
}

impl Row {
    fn by(mut self, tool: &'static str, prepare: &str, command: &str) -> Self {
        self.ways.push(Way { tool, prepare: prepare.to_owned(), command: words(command) });
        self
    }
}

/// The tools of the table that are there.
pub(super) fn tools() -> Vec<&'static str> {
    let is_there = |tool: &&str| match *tool {
        "tare" => true,
        "containerd" => on_path("containerd").is_some() && on_path("ctr").is_some(),
        tool => on_path(tool).is_some(),
    };
    TOOLS.into_iter().filter(is_there).collect()
}

impl Bench {
    /// Our command line with a store of its own.
    pub(super) fn own_store(&self, name: &str) -> String {
        let store = self.path(name);
        format!("{} --root {store}/root --runroot {store}/run", self.tare)
    }

    /// The same of podman and buildah.
    pub(super) fn storage_of(&self, tool: &str, name: &str) -> String {
        let store = self.path(&format!("storage-{name}"));
        format!("{tool} --root {store}/root --runroot {store}/run --storage-driver overlay")
    }

    /// As containers/image names a place there.
    fn storage_place(&self, name: &str, image: &str) -> String {
        let store = self.path(&format!("storage-{name}"));
        format!("containers-storage:[overlay@{store}/root+{store}/run]{image}")
    }

    /// Shell's commands that make an end to a store; containers/storage leaves its directory mounted.
    pub(super) fn removal(&self, name: &str) -> String {
        let dir = self.path(name);
        format!("umount -q {dir}/root/overlay; rm -rf {dir}")
    }

    pub(super) fn make_rows(&self, address: &str) -> Vec<Row> {
        let image = format!("{address}/bench:gzip");
        let mut rows = vec![self.pull(address, "gzip"), self.pull(address, "zstd")];
        rows.extend(self.looks(&image));
        rows.push(self.rmi(&image));
        rows.push(self.commit());
        rows.extend(["gzip", "zstd"].map(|format| self.push(&image, format)));
        rows
    }

    /// Into a fresh store each time.
    fn pull(&self, address: &str, format: &str) -> Row {
        let image = format!("{address}/bench:{format}");
        let fresh = self.removal("storage-fresh");
        let skopeo = format!(
            "skopeo --insecure-policy copy -q --src-tls-verify=false docker://{image} {}",
            self.storage_place("fresh", &image)
        );
        let theirs =
            |tool| format!("{} pull -q --tls-verify=false {image}", self.storage_of(tool, "fresh"));
        let (script, socket) = (self.path("containerd.sh"), self.path("containerd.sock"));
        row(&format!("pull {format}"))
            .by(
                "tare",
                &self.removal("fresh"),
                &format!("{} pull -q {image}", self.own_store("fresh")),
            )
            .by("skopeo", &fresh, &skopeo)
            .by("podman", &fresh, &theirs("podman"))
            .by("buildah", &fresh, &theirs("buildah"))
            .by(
                "containerd",
                &format!("sh {script} stop; sh {script} start"),
                &format!("ctr -a {socket} images pull --plain-http {image}"),
            )
    }

    /// What changes nothing.
    fn looks(&self, image: &str) -> Vec<Row> {
        let (own, podman) = (self.own_store("kept"), self.storage_of("podman", "kept"));
        let buildah = self.storage_of("buildah", "kept");
        let many = self.own_store("thousand");
        let both = |name: &str, ours: &str, theirs: &str| {
            let theirs = format!("{podman} {theirs}");
            row(name).by("tare", "", &format!("{own} {ours}")).by("podman", "", &theirs)
        };
        let skopeo = format!("skopeo inspect -n --tls-verify=false docker://{image}");
        vec![
            both(
                "pull, all there",
                &format!("pull -q {image}"),
                &format!("pull -q --tls-verify=false {image}"),
            ),
            row("inspect, remote")
                .by("tare", "", &format!("{} inspect -n docker://{image}", self.tare))
                .by("skopeo", "", &skopeo),
            both("inspect, local", &format!("inspect {image}"), &format!("inspect {image}")),
            both("images, 1", "images", "images").by("buildah", "", &format!("{buildah} images")),
            row("images, 1000").by("tare", "", &format!("{many} images")),
            both("mount", &format!("mount {image}"), &format!("image mount {image}")),
            both("unmount", &format!("unmount {image}"), &format!("image unmount {image}")),
        ]
    }

    fn rmi(&self, image: &str) -> Row {
        let (ours, theirs) = (self.own_store("fresh"), self.storage_of("podman", "fresh"));
        row("rmi")
            .by("tare", &format!("{ours} pull -q {image}"), &format!("{ours} rmi {image}"))
            .by(
                "podman",
                &format!("{theirs} pull -q --tls-verify=false {image}"),
                &format!("{theirs} rmi {image}"),
            )
    }

    /// 2,600 files in a container become a layer.
    fn commit(&self) -> Row {
        let (dir, theirs) = (self.path("commit"), self.storage_of("podman", "commit"));
        let fill = format!("rm -rf {dir}; {} fill {dir} /usr", self.commit);
        let upper = format!("{dir}/root/containers/bench/upper");
        row("commit").by("tare", &fill, &format!("{} commit {dir}", self.commit)).by(
            "podman",
            &format!(
                "{}; {fill}; tar -c --files-from /dev/null | {theirs} import - empty && \
                     {theirs} create --name c empty /x && \
                     cp -a {upper}/. \"$({theirs} mount c)\" && {theirs} unmount c",
                self.removal("storage-commit")
            ),
            &format!("{theirs} commit -q c committed"),
        )
    }

    /// Out of the store, packed anew.
    fn push(&self, image: &str, format: &str) -> Row {
        let out = self.path("out");
        let clean = format!("rm -rf {out}");
        let pack = format!("--force-compression --compression-format {format}");
        let skopeo = format!(
            "skopeo --insecure-policy copy -q --dest-compress-format {format} {} oci:{out}:x",
            self.storage_place("kept", image)
        );
        let by = |store: String| format!("{store} push -q {pack} {image} oci:{out}:x");
        let mut row = row(&format!("push {format}"))
            .by("tare", &clean, &by(self.own_store("kept")))
            .by("skopeo", &clean, &skopeo)
            .by("podman", &clean, &by(self.storage_of("podman", "kept")));
        row.out = Some(out);
        row
    }

    /// Starts and stops a containerd of its own.
    pub(super) fn containerd_script(&self) -> String {
        let (dir, socket) = (self.path("containerd"), self.path("containerd.sock"));
        format!(
            r#"case $1 in
start)
    mkdir -p {dir}
    printf 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' > {dir}/config.toml
    setsid containerd -c {dir}/config.toml --root {dir}/root --state {dir}/state -a {socket} >/dev/null 2>&1 &
    echo $! > {dir}/pid
    for try in $(seq 200); do
        ctr -a {socket} version >/dev/null 2>&1 && exit 0
        sleep 0.05
    done
    exit 1 ;;
stop)
    [ -f {dir}/pid ] || exit 0
    pid=$(cat {dir}/pid)
    kill $pid
    for try in $(seq 200); do kill -0 $pid 2>/dev/null || break; sleep 0.05; done
    rm -rf {dir} ;;
esac
"#
        )
    }
}
