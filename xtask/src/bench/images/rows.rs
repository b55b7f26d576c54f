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
        let store = self.path(&format!("{name}/own"));
        format!("{} --root {store}/root --runroot {store}/run", self.tare)
    }

    /// The same of podman and buildah.
    pub(super) fn storage_of(&self, tool: &str, name: &str) -> String {
        let store = self.path(&format!("{name}/storage"));
        format!("{tool} --root {store}/root --runroot {store}/run --storage-driver overlay")
    }

    /// As containers/image names a place there.
    fn storage_place(&self, name: &str, image: &str) -> String {
        let store = self.path(&format!("{name}/storage"));
        format!("containers-storage:[overlay@{store}/root+{store}/run]{image}")
    }

    pub(super) fn make_rows(&self, address: &str) -> Vec<Row> {
        let image = format!("{address}/bench:gzip");
        let mut rows = vec![self.pull(address, "gzip"), self.pull(address, "zstd")];
        rows.extend(self.looks(&image));
        rows.push(self.rmi(&image));
        rows.push(self.commit());
        // The other way round than they came: nothing can be sent as it is.
        rows.push(self.push(&format!("{address}/bench:zstd"), &image, "gzip"));
        rows.push(self.push(&image, &image, "zstd"));
        rows
    }

    /// Into a fresh file system each time.
    fn pull(&self, address: &str, format: &str) -> Row {
        let image = format!("{address}/bench:{format}");
        let fresh = format!("sh {} fresh", self.path("script"));
        let skopeo = format!(
            "skopeo --insecure-policy copy -q --src-tls-verify=false docker://{image} {}",
            self.storage_place("fresh", &image)
        );
        let theirs =
            |tool| format!("{} pull -q --tls-verify=false {image}", self.storage_of(tool, "fresh"));
        let containerd = format!("{fresh} && sh {} containerd", self.path("script"));
        let socket = self.path("containerd.sock");
        row(&format!("pull {format}"))
            .by("tare", &fresh, &format!("{} pull -q {image}", self.own_store("fresh")))
            .by("skopeo", &fresh, &skopeo)
            .by("podman", &fresh, &theirs("podman"))
            .by("buildah", &fresh, &theirs("buildah"))
            .by(
                "containerd",
                &containerd,
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
        let fresh = format!("sh {} fresh", self.path("script"));
        row("rmi")
            .by(
                "tare",
                &format!("{fresh} && {ours} pull -q {image}"),
                &format!("{ours} rmi {image}"),
            )
            .by(
                "podman",
                &format!("{fresh} && {theirs} pull -q --tls-verify=false {image}"),
                &format!("{theirs} rmi {image}"),
            )
    }

    /// 2,600 files in a container become a layer.
    fn commit(&self) -> Row {
        let (dir, theirs) = (self.path("fresh/commit"), self.storage_of("podman", "fresh"));
        let fill = format!("sh {} fresh && {} fill {dir} /usr", self.path("script"), self.commit);
        let upper = format!("{dir}/root/containers/bench/upper");
        row("commit").by("tare", &fill, &format!("{} commit {dir}", self.commit)).by(
            "podman",
            &format!(
                "{fill} && tar -c --files-from /dev/null | {theirs} import - empty && \
                     {theirs} create --name c empty /x && \
                     cp -a {upper}/. \"$({theirs} mount c)\" && {theirs} unmount c"
            ),
            &format!("{theirs} commit -q c committed"),
        )
    }

    /// Out of the store, packed anew.
    fn push(&self, own: &str, image: &str, format: &str) -> Row {
        let out = self.path("out");
        let clean = format!("rm -rf {out}");
        let pack = format!("--compression-format {format}");
        let skopeo = format!(
            "skopeo --insecure-policy copy -q --dest-compress-format {format} {} oci:{out}:x",
            self.storage_place("kept", image)
        );
        let podman = self.storage_of("podman", "kept");
        let ours = format!(
            "{} push -q --force-compression {pack} {own} oci:{out}:x",
            self.own_store("kept")
        );
        let mut row = row(&format!("push {format}"))
            .by("tare", &clean, &ours)
            .by("skopeo", &clean, &skopeo)
            .by("podman", &clean, &format!("{podman} push -q {pack} {image} oci:{out}:x"));
        row.out = Some(out);
        row
    }

    /// Shell's script that makes a fresh file system, starts a containerd on it, and makes an end to both.
    ///
    /// ext4 passes inodes by that were freed less than a minute ago, one by one: whoever comes after a
    /// removal of 19,000 files would pay for it.
    pub(super) fn script(&self) -> String {
        let (root, fresh) = (self.root.display(), self.path("fresh"));
        format!(
            r#"socket={root}/containerd.sock
end() {{
    if [ -f {root}/containerd.pid ]; then
        pid=$(cat {root}/containerd.pid)
        kill "$pid"
        for try in $(seq 200); do kill -0 "$pid" 2>/dev/null || break; sleep 0.05; done
        rm {root}/containerd.pid
    fi
    while umount -q -R {fresh}; do :; done
    rm -f {root}/disk
}}
case $1 in
end) end ;;
fresh)
    end
    truncate -s 8G {root}/disk
    mkfs.ext4 -q -E lazy_itable_init=0,nodiscard -N 262144 {root}/disk
    mkdir -p {fresh}
    mount -o loop {root}/disk {fresh} ;;
containerd)
    printf 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' > {fresh}/config.toml
    setsid containerd -c {fresh}/config.toml --root {fresh}/root --state {fresh}/state -a "$socket" \
        >/dev/null 2>&1 &
    echo $! > {root}/containerd.pid
    for try in $(seq 200); do
        ctr -a "$socket" version >/dev/null 2>&1 && exit 0
        sleep 0.05
    done
    exit 1 ;;
esac
"#
        )
    }
}
