//! `certs.d`: whom a registry's certificate is signed by, and who we are (containers-certs.d(5)).

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// The certificates for one registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificates {
    /// Certificates of authorities, besides those of the system: `*.crt`.
    pub authorities: Vec<PathBuf>,
    /// Certificates of ours and their keys: `*.cert`, `*.key`.
    pub clients: Vec<(PathBuf, PathBuf)>,
}

impl Certificates {
    /// Looks for a registry's directory (`HOST[:PORT]`) below several ones; the first that is there counts.
    pub fn find(directories: &[PathBuf], registry: &str) -> Result<Self> {
        // A name with a slash would lead elsewhere; `..` is no host.
        if !oci::reference::is_domain(registry) {
            return Ok(Self::default());
        }
        let directory = directories.iter().map(|directory| directory.join(registry));
        match directory.into_iter().find(|directory| directory.is_dir()) {
            Some(directory) => Self::read(&directory),
            None => Ok(Self::default()),
        }
    }

    /// Reads a directory that the user named.
    pub fn read(directory: &Path) -> Result<Self> {
        let mut clients = Vec::new();
        for certificate in crate::file::list(directory, "cert")? {
            let key = certificate.with_extension("key");
            if !key.is_file() {
                let what = format!("there is no {} for it", key.display());
                let hint = "a certificate of an authority has a name that ends with .crt";
                return Err(Error::in_file(&certificate, what).with_hint(hint));
            }
            clients.push((certificate, key));
        }
        for key in crate::file::list(directory, "key")? {
            let certificate = key.with_extension("cert");
            if !certificate.is_file() {
                let what = format!("there is no {} for it", certificate.display());
                return Err(Error::in_file(&key, what));
            }
        }
        Ok(Self { authorities: crate::file::list(directory, "crt")?, clients })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn certificates_belong_to_a_host_and_port() {
        let root = crate::tests::test_directory("certs");
        let directory = |name: &str, files: &[&str]| {
            let path = root.join(name);
            std::fs::create_dir_all(&path).unwrap();
            files.iter().for_each(|file| std::fs::write(path.join(file), "x").unwrap());
        };
        directory("a/x.example:5000", &["ca.crt", "me.cert", "me.key", "other"]);
        directory("b/x.example:5000", &["other.crt"]);
        directory("b/y.example", &["client.cert"]);
        directory("b/z.example", &["client.key"]);
        let directories = [root.join("a"), root.join("b")];
        let find = |registry: &str| Certificates::find(&directories, registry);
        let found = find("x.example:5000").unwrap();
        let below = |file: &str| root.join("a/x.example:5000").join(file);
        assert_eq!(found.authorities, [below("ca.crt")]);
        assert_eq!(found.clients, [(below("me.cert"), below("me.key"))]);
        assert_eq!(find("x.example").unwrap(), Certificates::default());
        assert_eq!(find("../a/x.example:5000").unwrap(), Certificates::default());
        for lacking in ["y.example", "z.example"] {
            assert_eq!(find(lacking).unwrap_err().kind(), ErrorKind::Invalid);
        }
        std::fs::remove_dir_all(root).unwrap();
    }
}
