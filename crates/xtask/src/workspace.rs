//! Where things are: the repository's root and the folders under `target/` that xtask fills.

use std::path::{Path, PathBuf};

/// The repository's root. A binary of this workspace is only ever run from its own clone, so the
/// place it was compiled in is the place it works on.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("crates/xtask lies two folders below the root")
        .to_path_buf()
}

/// Cargo's target folder: everything that is fetched or written goes under it.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// A release binary of this workspace, built or not.
pub fn binary(name: &str) -> PathBuf {
    target().join("release").join(name)
}

/// `path` as it reads from the root, for messages.
pub fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
