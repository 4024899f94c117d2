//! `gannet demo` before a person's eyes: Debian's chromium, driven by chromedriver, walks from the
//! list to the verified repair. It keeps a screenshot of each page at both widths, and fails on any
//! line that the browser's console has.

mod driver;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::process::binary;
use driver::{Browser, NARROW, Scheme, WIDE};

#[derive(Clone, Debug, clap::Args)]
pub struct BrowserOptions {
    /// Where the screenshots go
    #[arg(long, default_value = "target/screenshots")]
    pub shots: PathBuf,
    /// A fault of the demo
    #[arg(long, default_value = "link-down")]
    pub fault: String,
    #[arg(long)]
    pub short: bool,
}

/// Of each step of the walk, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The first page, from the start of the process.
const PAGE_WITHIN: Duration = Duration::from_secs(30);

/// The demo as a process, with what it has printed.
struct Demo {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

pub fn run(options: &BrowserOptions) -> Result<()> {
    std::fs::create_dir_all(&options.shots)?;
    let mut score = (0, 0);
    let mut walks = vec![("approve", vec!["--fault", options.fault.as_str()])];
    if !options.short {
        walks.push(("deaf", vec!["--fault", options.fault.as_str(), "--deaf"]));
    }
    for (name, args) in walks {
        match walk(options, name, &args) {
            Ok(()) => {
                println!("{name}: from the list to the end of the repair, nothing on the console");
                score.0 += 1;
            }
            Err(error) => {
                println!("FAILED {name}: {error:#}");
                score.1 += 1;
            }
        }
    }
    println!("{} passed, {} failed, 0 skipped", score.0, score.1);
    ensure!(score.1 == 0, "the walk failed");
    Ok(())
}

fn walk(options: &BrowserOptions, name: &str, args: &[&str]) -> Result<()> {
    let mut demo = Demo::start(args)?;
    let page = demo.page()?;
    let browser = Browser::start()?;
    let shots = Shots { browser: &browser, folder: options.shots.clone(), name };
    let walked = steps(&browser, &shots, &page, name == "deaf");
    if walked.is_err() {
        // What a person would have seen.
        let _ = shots.keep("failed");
    }
    walked.with_context(|| format!("the demo said:\n{}", demo.said()))
}

/// The walk: list, incident, plan, approve, verified (or rolled back, where devices are deaf).
fn steps(browser: &Browser, shots: &Shots<'_>, page: &str, is_deaf: bool) -> Result<()> {
    browser.goto(page)?;
    browser.wait_for("[data-incident]", PATIENCE).context("no incident in the list")?;
    shots.keep("list")?;
    // By keyboard alone: j goes to the first, enter opens it.
    browser.keys("body", "j")?;
    browser.keys(":focus", "\u{e007}")?;
    browser.wait_for("section#headline", PATIENCE)?;
    browser.wait_for("form[data-decide]", PATIENCE).context("no plan to approve")?;
    ensure!(browser.count("svg.net [data-node]")? > 3, "the topology is not drawn");
    shots.keep("plan")?;
    browser.keys("input[data-who]", "browser test")?;
    browser.click("[data-action=approve]")?;
    let (end, other) = match is_deaf {
        false => ("confirmed", "rolled-back"),
        true => ("rolled-back", "confirmed"),
    };
    let wanted = format!("article.repair[data-state={end}]");
    let deadline = Instant::now() + PATIENCE * 3;
    while browser.count(&wanted)? == 0 {
        let not = format!("article.repair[data-state={other}]");
        ensure!(browser.count(&not)? == 0, "the repair ended as {other}");
        ensure!(Instant::now() < deadline, "the repair did not end as {end}");
        std::thread::sleep(LOOK_EVERY);
    }
    shots.keep("end")?;
    browser.goto(&format!("{page}data"))?;
    browser.wait_for("[data-exporter]", PATIENCE).context("no exporter on the data page")?;
    browser.wait_for("[data-device]", PATIENCE).context("no device on the data page")?;
    shots.keep("data")?;
    browser.goto(&format!("{page}query?q=SELECT%20count(*)%20FROM%20signals"))?;
    shots.keep("query")?;
    let console = browser.console()?;
    ensure!(console.is_empty(), "the browser's console has:\n{}", console.join("\n"));
    Ok(())
}

/// Screenshots of a walk.
struct Shots<'a> {
    browser: &'a Browser,
    folder: PathBuf,
    name: &'a str,
}

// === impl Shots ===

impl Shots<'_> {
    /// At both widths, in light; narrow in dark too. Nothing may be wider than the window.
    fn keep(&self, step: &str) -> Result<()> {
        let looks = [(WIDE, Scheme::Light), (NARROW, Scheme::Light), (NARROW, Scheme::Dark)];
        for (width, scheme) in looks {
            self.browser.look(width, scheme)?;
            let file = format!("{}-{step}-{width}-{}.png", self.name, scheme.as_str());
            std::fs::write(self.folder.join(file), self.browser.shot()?)?;
            let over = self.browser.wider_than_window()?;
            ensure!(over <= 0, "{step} is {over} pixels wider than {width}");
        }
        self.browser.look(WIDE, Scheme::Light)
    }
}

// === impl Demo ===

impl Demo {
    fn start(args: &[&str]) -> Result<Demo> {
        let mut command = Command::new(binary()?);
        command.arg("demo").args(args).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
        let output = child.stdout.take().context("the demo has no output")?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                into.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Ok(Demo { child, lines })
    }

    fn said(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Where its pages are, once it says so.
    fn page(&mut self) -> Result<String> {
        let deadline = Instant::now() + PAGE_WITHIN;
        loop {
            let said = self.said();
            if let Some((_, rest)) = said.split_once("the page is up: ") {
                return Ok(rest.split_whitespace().next().unwrap_or_default().to_owned());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the demo ended with {status}:\n{said}");
            }
            ensure!(Instant::now() < deadline, "no page within {PAGE_WITHIN:?}:\n{said}");
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // One that has ended is as wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
