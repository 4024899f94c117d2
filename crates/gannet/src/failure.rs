//! How a command's error is told, once, with its causes, and which exit code it has.

use std::fmt::Write;

use runtime::active_config::ActiveConfigError;
use runtime::config::ConfigError;
use runtime::process::{Exit, ProcessError};

/// The error and its causes, a line each; a cause that its parent has said already is left out.
pub fn told(error: &anyhow::Error) -> String {
    let mut text = format!("error: {error}");
    let mut last = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !last.contains(&cause) {
            // Writing to a string does not fail.
            let _ = write!(text, "\n  caused by: {cause}");
        }
        last = cause;
    }
    text
}

/// 2 where only another configuration helps (runtime::process::Exit says all of them).
pub fn exit(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        if cause.is::<ConfigError>() {
            return Exit::Refused;
        }
        if let Some(ActiveConfigError::Differs { .. }) = cause.downcast_ref() {
            return Exit::Refused;
        }
        if let Some(error) = cause.downcast_ref::<ProcessError>() {
            return error.exit();
        }
    }
    Exit::Failed
}
