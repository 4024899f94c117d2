//! Chromium by chromedriver: a process of each, and the few words of WebDriver (W3C) that a walk
//! needs, as plain requests: a client library brings some forty crates into the build for them.
//! Chromium runs without a sandbox where we are root, as it demands, and calls nobody by itself.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use serde_json::{Value, json};

use crate::process::free_address;

/// The two widths that pages must work at.
pub const WIDE: u32 = 1_280;
pub const NARROW: u32 = 390;
const HEIGHT: u32 = 900;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Light,
    Dark,
}

pub struct Browser {
    agent: ureq::Agent,
    /// Of the session.
    url: String,
    driver: Child,
    _profile: tempfile::TempDir,
}

const START_WITHIN: Duration = Duration::from_secs(30);
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Of an answer: a picture of a long page.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// The name of an element's id in answers (WebDriver §12).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

// === impl Scheme ===

impl Scheme {
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        }
    }
}

// === impl Browser ===

impl Browser {
    pub fn start() -> Result<Browser> {
        let port = free_address()?.port();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={port}"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let driver = command.spawn().context("cannot start chromedriver")?;
        let profile = tempfile::tempdir()?;
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = config.timeout_global(Some(ANSWER_WITHIN)).build().into();
        let mut browser = Browser { agent, url: String::new(), driver, _profile: profile };
        let folder = browser._profile.path().display().to_string();
        let base = format!("http://127.0.0.1:{port}");
        let deadline = Instant::now() + START_WITHIN;
        while ask(browser.agent.get(format!("{base}/status")).call()).is_err() {
            ensure!(Instant::now() < deadline, "chromedriver does not answer");
            std::thread::sleep(LOOK_EVERY);
        }
        let url = format!("{base}/session");
        let session = browser.post(&url, &capabilities(&folder))?;
        let id = session["sessionId"].as_str().context("chromedriver gives no session")?;
        browser.url = format!("{url}/{id}");
        Ok(browser)
    }

    pub fn goto(&self, url: &str) -> Result<()> {
        self.word("url", &json!({ "url": url })).with_context(|| format!("cannot open {url}"))?;
        Ok(())
    }

    pub fn wait_for(&self, css: &str, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        while self.count(css)? == 0 {
            ensure!(Instant::now() < deadline, "no {css} within {within:?}");
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    pub fn count(&self, css: &str) -> Result<usize> {
        let found = self.word("elements", &json!({ "using": "css selector", "value": css }))?;
        Ok(found.as_array().map_or(0, Vec::len))
    }

    pub fn keys(&self, css: &str, keys: &str) -> Result<()> {
        let path = format!("{}/value", self.element(css)?);
        self.word(&path, &json!({ "text": keys }))
            .with_context(|| format!("cannot type into {css}"))?;
        Ok(())
    }

    pub fn click(&self, css: &str) -> Result<()> {
        let path = format!("{}/click", self.element(css)?);
        self.word(&path, &json!({})).with_context(|| format!("cannot click {css}"))?;
        Ok(())
    }

    /// The window's width, and whether a person wants it light or dark.
    pub fn look(&self, width: u32, scheme: Scheme) -> Result<()> {
        let size = json!({
            "width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": false,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", size)?;
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme.as_str() });
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": [feature] }))?;
        Ok(())
    }

    /// The whole page as PNG.
    pub fn shot(&self) -> Result<Vec<u8>> {
        let whole = json!({ "format": "png", "captureBeyondViewport": true });
        let answer = self.devtools("Page.captureScreenshot", whole)?;
        let data = answer["data"].as_str().context("no picture in the answer")?;
        let picture = base64::engine::general_purpose::STANDARD.decode(data);
        picture.context("the picture is not in base64")
    }

    /// By how many pixels the page is wider than its window.
    pub fn wider_than_window(&self) -> Result<i64> {
        let script = "return document.documentElement.scrollWidth - window.innerWidth";
        let over = self.word("execute/sync", &json!({ "script": script, "args": [] }))?;
        over.as_i64().context("no number of pixels")
    }

    /// What the browser's console has said since the last time: level and text.
    pub fn console(&self) -> Result<Vec<String>> {
        let answer = self.word("se/log", &json!({ "type": "browser" }))?;
        let lines = answer.as_array().cloned().unwrap_or_default();
        Ok(lines.iter().map(|line| format!("{} {}", line["level"], line["message"])).collect())
    }

    fn element(&self, css: &str) -> Result<String> {
        let found = self.word("element", &json!({ "using": "css selector", "value": css }))?;
        let id = found[ELEMENT].as_str().with_context(|| format!("no {css}"))?;
        Ok(format!("element/{id}"))
    }

    fn devtools(&self, name: &str, parameters: Value) -> Result<Value> {
        self.word("goog/cdp/execute", &json!({ "cmd": name, "params": parameters }))
    }

    fn word(&self, path: &str, body: &Value) -> Result<Value> {
        self.post(&format!("{}/{path}", self.url), body)
    }

    fn post(&self, url: &str, body: &Value) -> Result<Value> {
        let request = self.agent.post(url).header("content-type", "application/json");
        ask(request.send(body.to_string()))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The session's end takes chromium along; one that has ended is as wanted.
        let _ = self.agent.delete(&self.url).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn capabilities(folder: &str) -> Value {
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        &format!("--user-data-dir={folder}"),
        &format!("--window-size={WIDE},{HEIGHT}"),
    ];
    json!({ "capabilities": { "alwaysMatch": {
        "goog:chromeOptions": { "args": arguments },
        "goog:loggingPrefs": { "browser": "ALL" },
    } } })
}

/// An answer's value, or what it says went wrong.
fn ask(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value> {
    let mut answer = answer?;
    let status = answer.status();
    let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string()?;
    let mut said: Value = serde_json::from_str(&text).context("the answer is no JSON")?;
    let value = said["value"].take();
    if !status.is_success() {
        bail!("{}: {}", value["error"], value["message"]);
    }
    Ok(value)
}
