//! What the tests of several modules need.

use std::path::PathBuf;

/// A new directory of one test's own.
pub(crate) fn test_directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("tare-transport-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&path).expect("the directory for temporary files is writable");
    path
}
