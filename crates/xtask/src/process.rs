//! Running other programs: to the end with their output kept for a failure, or in the background
//! with a log; waiting on conditions with a deadline; signals (by `sh`, since a call of `kill(2)`
//! would be the only `unsafe` here).

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How often a condition is looked at while waiting for it.
const POLL: Duration = Duration::from_millis(20);

/// Lines of a failed program's output that are shown.
const TAIL_LINES: usize = 40;

/// Runs to the end; the output is shown only on a failure.
pub fn run_quiet(command: &mut Command) -> Result<()> {
    output(command).map(|_| ())
}

/// Runs to the end and gives the standard output.
pub fn output(command: &mut Command) -> Result<String> {
    let name = shown(command);
    let done = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("failed to start `{name}`"))?;
    let stdout = String::from_utf8_lossy(&done.stdout).into_owned();
    if done.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&done.stderr);
    bail!("`{name}` ended with {}:\n{}", done.status, tail(&format!("{stdout}{stderr}")))
}

/// Runs to the end; whether it succeeded is all that matters.
pub fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Runs to the end with the whole output in a log file; lines that tell of progress are shown as
/// they come. Gives the output, and whether the program succeeded.
pub fn run_watched(
    command: &mut Command,
    log: &Path,
    is_progress: impl Fn(&str) -> bool,
) -> Result<(String, bool)> {
    let name = shown(command);
    let (reader, writer) = std::io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().with_context(|| format!("failed to start `{name}`"))?;
    // The command holds the pipe's ends for writing: without them the reader sees the end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut file = File::create(log)?;
    let mut text = String::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        writeln!(file, "{line}")?;
        if is_progress(&line) {
            eprintln!("  {}", line.trim());
        }
        text += &line;
        text.push('\n');
    }
    Ok((text, child.wait()?.success()))
}

/// Runs to the end on this terminal.
pub fn run_shown(command: &mut Command) -> Result<()> {
    let name = shown(command);
    let status = command.status().with_context(|| format!("failed to start `{name}`"))?;
    if !status.success() {
        bail!("`{name}` ended with {status}");
    }
    Ok(())
}

/// Starts in the background with both outputs in `log`.
pub fn spawn_logged(command: &mut Command, log: &Path) -> Result<Child> {
    if let Some(dir) = log.parent() {
        fs::create_dir_all(dir)?;
    }
    let file = File::create(log).with_context(|| format!("failed to write {}", log.display()))?;
    let name = shown(command);
    command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("failed to start `{name}`"))
}

/// Waits until `ready` says so; an error of `ready` ends the wait.
pub fn wait_until(
    what: &str,
    limit: Duration,
    mut ready: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + limit;
    while !ready()? {
        if Instant::now() >= deadline {
            bail!("{what}: not within {} s", limit.as_secs());
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// Waits for the end of a child; `None` when it still runs at the deadline.
pub fn wait_for_exit(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
}

/// Sends a signal by name (`TERM`, `KILL`, `STOP`, …).
pub fn signal(pid: u32, name: &str) -> Result<()> {
    run_quiet(Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]))
}

/// The command line of a living process, its arguments parted by spaces.
pub fn command_line(pid: u32) -> Option<String> {
    let raw = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    (!raw.is_empty()).then(|| String::from_utf8_lossy(&raw).replace('\0', " "))
}

/// `count` different ports that were free on loopback a moment ago.
pub fn free_ports(count: usize) -> Result<Vec<u16>> {
    let held: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// Whether something accepts connections on this port of loopback.
pub fn answers(port: u16) -> bool {
    TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_millis(500)).is_ok()
}

/// The last lines of a text.
pub fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy().into_owned()));
    words.join(" ")
}
