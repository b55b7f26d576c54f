//! A closure in the making: keeps the invariants of [`Closure`].

use crate::closure::{Closure, Entry, Node};
use crate::error::{Error, ErrorKind, Result};
use crate::tree::MAX_LINKS;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// Mode of a directory that nothing but the paths below it asks for.
const DIRECTORY_MODE: u32 = 0o755;
/// Set-user-ID and set-group-ID, which no closure has.
const SETID: u32 = 0o6000;

/// Nodes by path; what is there stays.
#[derive(Default)]
pub(crate) struct Builder {
    nodes: BTreeMap<PathBuf, Node>,
    pub(crate) skipped: Vec<PathBuf>,
}

impl Builder {
    /// How many nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Adds a node at `path`, which has no links in it and whose parent is there.
    pub(crate) fn add(&mut self, path: PathBuf, mut node: Node) {
        if let Node::Directory { mode } | Node::File { mode, .. } = &mut node {
            *mode &= !SETID;
        }
        self.nodes.entry(path).or_insert(node);
    }

    /// Adds a node at `path` as seen through the links that are there, with the directories above
    /// it.
    pub(crate) fn place(&mut self, path: &Path, node: Node) -> Result<()> {
        let wants_directory = matches!(node, Node::Directory { .. });
        let mut at = PathBuf::from("/");
        let mut todo = steps(path);
        let mut links = 0;
        while let Some(step) = todo.pop() {
            if step == Path::new("/") {
                at = step;
                continue;
            }
            if step == Path::new("..") {
                at.pop();
                continue;
            }
            let next = at.join(&step);
            let is_last = todo.is_empty();
            match self.nodes.get(&next) {
                None if is_last => {
                    self.add(next, node);
                    return Ok(());
                }
                None => {
                    self.add(next.clone(), Node::Directory { mode: DIRECTORY_MODE });
                    at = next;
                }
                Some(Node::Directory { .. }) if !is_last || wants_directory => at = next,
                // A file or link where a file or link is wanted stays.
                Some(Node::File { .. } | Node::Link { .. }) if is_last && !wants_directory => {
                    return Ok(());
                }
                Some(Node::Link { target }) if links < MAX_LINKS => {
                    links += 1;
                    todo.extend(steps(target));
                }
                Some(_) => {
                    let (path, there) = (path.display(), next.display());
                    let message = format!("placing {path}: {there} is in the way");
                    return Err(Error::new(ErrorKind::Exists, message));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Closure {
        self.skipped.sort();
        self.skipped.dedup();
        let entries = self.nodes.into_iter().map(|(path, node)| Entry { path, node }).collect();
        Closure { entries, skipped: self.skipped }
    }
}

impl From<Closure> for Builder {
    fn from(closure: Closure) -> Self {
        let nodes = closure.entries.into_iter().map(|entry| (entry.path, entry.node)).collect();
        Self { nodes, skipped: closure.skipped }
    }
}

/// The steps of a path (`/`, `..` and names), the first one last.
fn steps(path: &Path) -> Vec<PathBuf> {
    path.components()
        .rev()
        .filter(|component| !matches!(component, Component::CurDir))
        .map(|component| Path::new(component.as_os_str()).to_owned())
        .collect()
}
