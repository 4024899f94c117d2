//! Real datagrams, which lie outside the repository: where they are, and how a test says that they
//! are not there.

use std::path::{Path, PathBuf};

/// The folder of real data: `GANNET_DATA`, else `../shared/data` beside the repository.
pub fn folder(part: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let root = std::env::var_os("GANNET_DATA").map_or(beside, PathBuf::from);
    let folder = root.join(part);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no {} (GANNET_DATA names the folder of real data)", folder.display());
    None
}

/// Files below a folder whose name ends so, sorted.
pub fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder that was listed") {
            let path = entry.expect("an entry of it").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(end) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

pub fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
