//! What a policy may call an image, from the most special to the most general.

use crate::place::DaemonImage;
use oci::Reference;
use std::path::Path;

/// The scopes of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scopes {
    transport: &'static str,
    image: String,
    names: Vec<String>,
}

impl Scopes {
    /// An image of a registry: its name with tag or digest, the repository, its namespaces, the host, and
    /// the domains that the host is in.
    pub fn of_registry(reference: &Reference) -> Self {
        let mut names = Vec::new();
        // A digest decides which image it is; a tag beside it does not.
        match (reference.digest(), reference.tag()) {
            (Some(digest), _) => names.push(format!("{}@{digest}", reference.name())),
            (None, Some(tag)) => names.push(format!("{}:{tag}", reference.name())),
            (None, None) => names.push(format!("{}:latest", reference.name())),
        }
        let mut name = reference.name();
        names.push(name.to_owned());
        while let Some((parent, _)) = name.rsplit_once('/') {
            names.push(parent.to_owned());
            name = parent;
        }
        let mut host = name.split(':').next().unwrap_or(name);
        while let Some((_, domain)) = host.split_once('.') {
            names.push(format!("*.{domain}"));
            host = domain;
        }
        names.push(String::new());
        Self { transport: "docker", image: reference.to_string(), names }
    }

    /// An image in a directory or archive (`dir`, `oci`, `oci-archive`): the directory, with the image's name within if it has one, and
    /// its parents without the root. The path is absolute and has no links: whoever opened it knows it.
    pub fn of_directory(transport: &'static str, directory: &Path, name: &str) -> Self {
        let path = directory.to_string_lossy();
        let mut names = Vec::new();
        if transport != "dir" {
            names.push(format!("{path}:{name}"));
        }
        let parents = directory.ancestors().filter(|parent| parent.parent().is_some());
        names.extend(parents.map(|parent| parent.to_string_lossy().into_owned()));
        names.push(String::new());
        let separator = if name.is_empty() { "" } else { ":" };
        Self { transport, image: format!("{transport}:{path}{separator}{name}"), names }
    }

    /// An image of dockerd. By name, it has the scopes of a registry's image; by ID, only that of the
    /// transport.
    pub fn of_daemon(image: &DaemonImage) -> Self {
        const TRANSPORT: &str = "docker-daemon";
        match image {
            DaemonImage::Name(name) => Self {
                transport: TRANSPORT,
                image: format!("{TRANSPORT}:{name}"),
                ..Self::of_registry(name)
            },
            DaemonImage::Id(id) => Self::of_transport(TRANSPORT, &id.to_string()),
        }
    }

    /// An image of a containers-storage: the store, with the image's name, repository and namespaces, or
    /// with its ID; the store without its driver.
    pub fn of_storage(
        driver: &str,
        root: &Path,
        name: Option<&Reference>,
        id: Option<&str>,
    ) -> Self {
        const TRANSPORT: &str = "containers-storage";
        let store = format!("[{driver}@{}]", root.display());
        let text = name.map_or(String::new(), ToString::to_string);
        let id = id.map_or(String::new(), |id| format!("@{id}"));
        let mut names = vec![format!("{store}{text}{id}")];
        if let Some(name) = name {
            if !id.is_empty() {
                names.push(format!("{store}{text}"));
            }
            if let (Some(tag), Some(_)) = (name.tag(), name.digest()) {
                names.push(format!("{store}{}:{tag}", name.name()));
            }
            let mut part = Some(name.name());
            while let Some(name) = part {
                names.push(format!("{store}{name}"));
                part = name.rsplit_once('/').map(|(parent, _)| parent);
            }
        }
        names.push(store);
        names.push(format!("[{}]", root.display()));
        names.push(String::new());
        let image = format!("{TRANSPORT}:{}", names[0]);
        Self { transport: TRANSPORT, image, names }
    }

    /// An image of a transport without scopes, as of archives.
    pub fn of_transport(transport: &'static str, image: &str) -> Self {
        Self { transport, image: format!("{transport}:{image}"), names: vec![String::new()] }
    }

    /// The transport's name in policies.
    pub fn transport(&self) -> &str {
        self.transport
    }

    /// The image, for messages.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// The scopes; the last one is that of the whole transport.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}
