//! What `gannet check` says, by golden text: each folder of `cases` is a broken configuration and
//! what a person reads of it. `UPDATE_GOLDEN=1` writes what is said now.

use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use runtime::process::Exit;

use crate::{check, cli, failure};

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/cases")
}

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/gannet.yaml")
}

fn checked(file: &Path, dump: bool) -> Result<String, anyhow::Error> {
    let mut out = Vec::new();
    check::run(file, dump, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn each_broken_configuration_is_refused_with_its_place() {
    let mut wrong = Vec::new();
    for entry in fs::read_dir(cases()).unwrap() {
        let case = entry.unwrap().path();
        let error = checked(&case.join("in.yaml"), false).unwrap_err();
        assert_eq!(failure::exit(&error), Exit::Refused, "{error}");
        let said = failure::told(&error).replace(&format!("{}/", case.display()), "") + "\n";
        let file = case.join("expected");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&file, &said).unwrap();
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        if said != expected {
            wrong.push(format!("{}\n--- expected\n{expected}--- said\n{said}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_shipped_configuration_is_valid_and_its_dump_dumps_the_same() {
    assert!(checked(&shipped(), false).unwrap().contains("is valid"));
    let dump = checked(&shipped(), true).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dump.yaml");
    fs::write(&file, &dump).unwrap();
    assert_eq!(checked(&file, true).unwrap(), dump);
}

#[test]
fn the_demo_has_a_configuration_of_its_own() {
    let loaded = crate::demo::configuration(2323).unwrap();
    check::rules(&loaded).unwrap();
    assert_eq!(loaded.value.bus.embedded.path, None);
    assert!(loaded.value.detect_with_playbooks().unwrap().load().is_ok());
}

/// What the binary carries is what `config/` has.
#[test]
fn the_shipped_playbooks_are_carried() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/playbooks");
    let files = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, crate::shipped::PLAYBOOKS.map(|(name, _)| name));
}

#[test]
fn the_command_line_is_consistent() {
    cli::Cli::command().debug_assert();
}
