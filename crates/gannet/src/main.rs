//! The binary: the command line in, an exit code out. What the commands do is in the library beside
//! it, which tests and fuzz targets use too.

use std::process::ExitCode;

use clap::Parser;
use gannet::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", gannet::failure::told(&error));
            ExitCode::from(gannet::failure::exit(&error) as u8)
        }
    }
}
