//! The table of targets is what is there.

use super::*;

#[test]
fn every_target_has_a_file_seeds_and_an_entry_in_its_manifest() {
    let mut files = 0;
    for krate in ["wire", "text"] {
        let folder = workspace::root().join("fuzz").join(krate).join("fuzz_targets");
        files += fs::read_dir(folder).unwrap().count();
    }
    assert_eq!(files, TARGETS.len());
    for target in TARGETS {
        let file = target.folder().join(format!("fuzz_targets/{}.rs", target.name));
        assert!(file.is_file(), "{}", file.display());
        let manifest = fs::read_to_string(target.folder().join("Cargo.toml")).unwrap();
        assert!(manifest.contains(&format!("name = \"{}\"", target.name)), "{}", target.name);
        let own = format!("fuzz/seeds/{}", target.name);
        for seeds in target.seeds.iter().copied().chain([own.as_str()]) {
            let count = fs::read_dir(workspace::root().join(seeds)).unwrap().count();
            assert!(count > 0, "{seeds} is empty");
        }
    }
}

#[test]
fn the_profile_of_the_fuzz_crates_is_that_of_the_workspace() {
    let profile = |path: &str| {
        let text = fs::read_to_string(workspace::root().join(path)).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        manifest["profile"]["release"].clone()
    };
    assert_eq!(profile("fuzz/text/Cargo.toml"), profile("Cargo.toml"));
}
