//! The image that is measured with: the machine's own files, of a realistic size.

use super::{Bench, MANY, succeed, words};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// How many layers the image has, how many files and how many bytes at most.
const LAYERS: usize = 7;
const ENTRIES_LIMIT: usize = 19_300;
const BYTES_LIMIT: u64 = 640_000_000;
/// A smaller file is passed by where the files so far are smaller than those of the whole image.
const SMALL_BYTES: u64 = 16 << 10;
/// Larger files than this would be a layer of their own.
const FILE_LIMIT: u64 = 32 << 20;

impl Bench {
    /// A layout with the image, packed in both ways, and a thousand small ones in another.
    pub(super) fn make_image(&self) -> Result<(), String> {
        let files = collect_files();
        let share = files.len().div_ceil(LAYERS);
        let mut plain = Vec::new();
        for (number, part) in files.chunks(share.max(1)).enumerate() {
            let (list, tar) =
                (self.path(&format!("list-{number}")), self.path(&format!("{number}.tar")));
            fs::write(&list, part.join("\n")).map_err(|error| error.to_string())?;
            succeed(&words(&format!(
                "tar --create --file {tar} --no-recursion --format=posix --sort=name -C / --files-from {list}"
            )))?;
            plain.push(tar);
        }
        for format in ["gzip", "zstd"] {
            let (mut layers, mut ids) = (Vec::new(), Vec::new());
            for tar in &plain {
                let out = self.path("packed");
                let pack = ["pack", format, tar, &out].map(str::to_owned);
                let said = succeed(&[std::slice::from_ref(&self.floor), &pack[..]].concat())?;
                let said: Vec<&str> = said.split_whitespace().collect();
                let [plain, _, packed, bytes] = said[..] else { return Err("floor pack".into()) };
                let blobs = self.root.join("layout/blobs/sha256");
                fs::create_dir_all(&blobs).map_err(|error| error.to_string())?;
                fs::rename(&out, blobs.join(packed)).map_err(|error| error.to_string())?;
                ids.push(format!("sha256:{plain}"));
                layers.push(json!({
                    "mediaType": format!("application/vnd.oci.image.layer.v1.tar+{format}"),
                    "digest": format!("sha256:{packed}"),
                    "size": bytes.parse::<u64>().unwrap_or(0),
                }));
            }
            self.add_image("layout", format, &layers, &ids)?;
        }
        let layout = json!({"imageLayoutVersion": "1.0.0"}).to_string();
        for name in ["layout", "many"] {
            fs::create_dir_all(self.root.join(name)).map_err(|error| error.to_string())?;
            fs::write(self.root.join(name).join("oci-layout"), &layout)
                .map_err(|error| error.to_string())?;
        }
        (0..MANY).try_for_each(|number| self.add_image("many", &format!("i{number}"), &[], &[]))
    }

    fn add_image(
        &self,
        layout: &str,
        name: &str,
        layers: &[Value],
        ids: &[String],
    ) -> Result<(), String> {
        let put = |media_type: &str, value: &Value| -> Result<Value, String> {
            let blobs = self.root.join(layout).join("blobs/sha256");
            fs::create_dir_all(&blobs).map_err(|error| error.to_string())?;
            let (text, file) = (value.to_string(), self.root.join("document"));
            fs::write(&file, &text).map_err(|error| error.to_string())?;
            let sum = succeed(&["sha256sum".into(), file.to_string_lossy().into_owned()])?;
            let hex = sum.split(' ').next().unwrap_or_default().to_owned();
            fs::rename(&file, blobs.join(&hex)).map_err(|error| error.to_string())?;
            let digest = format!("sha256:{hex}");
            Ok(json!({"mediaType": media_type, "digest": digest, "size": text.len()}))
        };
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "author": name,
            "config": {"Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": ids},
        });
        let config = put("application/vnd.oci.image.config.v1+json", &config)?;
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers,
        });
        let mut manifest = put(media_type, &manifest)?;
        manifest["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        let path = self.root.join(layout).join("index.json");
        let index = fs::read_to_string(&path).ok().and_then(|it| serde_json::from_str(&it).ok());
        let mut index: Value =
            index.unwrap_or_else(|| json!({"schemaVersion": 2, "manifests": []}));
        if let Some(manifests) = index["manifests"].as_array_mut() {
            manifests.push(manifest);
        }
        fs::write(path, index.to_string()).map_err(|error| error.to_string())
    }
}

/// Files of this machine in the order of their names, without what changes while it is read.
fn collect_files() -> Vec<String> {
    let mut todo = vec![PathBuf::from("/usr")];
    let (mut files, mut bytes) = (Vec::new(), 0);
    while let Some(dir) = todo.pop() {
        let mut names: Vec<PathBuf> =
            fs::read_dir(&dir).into_iter().flatten().flatten().map(|it| it.path()).collect();
        names.sort();
        files.push(dir.to_string_lossy().trim_start_matches('/').to_owned());
        for path in names {
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if metadata.is_dir() {
                if path != Path::new("/usr/local") {
                    todo.push(path);
                }
                continue;
            }
            if metadata.len() > FILE_LIMIT
                || path.to_str().is_none_or(|it| it.contains(['\n', '\\']))
            {
                continue;
            }
            let pace = files.len() as u64 * (BYTES_LIMIT / ENTRIES_LIMIT as u64);
            if bytes < pace && metadata.len() < SMALL_BYTES {
                continue;
            }
            bytes += metadata.len();
            files.push(path.to_string_lossy().trim_start_matches('/').to_owned());
            if bytes > BYTES_LIMIT || files.len() >= ENTRIES_LIMIT {
                return files;
            }
        }
    }
    files
}
