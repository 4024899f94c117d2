//! `cargo bench` at the top of the tree: every bench of the workspace, each by its own command, as
//! one would run it alone. Those on Kafka run by xtask, which starts a broker.

use std::path::Path;
use std::process::{Command, ExitCode};

/// Beside `gannet`: alone, a crate asks for fewer features of its dependencies, and cargo would
/// build DataFusion once more for them.
const BENCHES: [&[&str]; 4] = [
    &["bench", "--profile", "release", "-p", "gannet", "-p", "ingest", "--bench", "decode"],
    &["bench", "--profile", "release", "-p", "gannet", "-p", "detect", "--bench", "calibration"],
    &["bench", "--profile", "release", "-p", "gannet", "-p", "detect", "--bench", "throughput"],
    &["xtask", "bench"],
];

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut failed = false;
    for args in BENCHES {
        println!("\ncargo {}", args.join(" "));
        let status = Command::new(&cargo).args(args).current_dir(&root).status();
        if !matches!(&status, Ok(status) if status.success()) {
            println!("failed: {status:?}");
            failed = true;
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
