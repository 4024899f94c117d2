//! `gannet approve`: a person's word on a plan, from a terminal. It calls the console, the only one
//! that may write to `approvals`, and says the hash of the plan that the person saw.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// The execution; without one, all that wait for a word are shown
    execution: Option<String>,
    /// Hash of the plan that you saw; without it the plan is shown, and nothing is said
    #[arg(long, value_name = "HASH")]
    plan: Option<String>,
    /// Say no
    #[arg(long)]
    reject: bool,
    /// Why, for the audit
    #[arg(long, default_value = "")]
    reason: String,
    /// Who you are, for the audit
    #[arg(long, env = "USER", default_value = "")]
    who: String,
    /// Address of the console
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:8080",
        env = "GANNET_CONSOLE"
    )]
    console: String,
    /// The console's token, where it has one
    #[arg(long, env = "GANNET_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// A console as a program talks to it.
pub struct Client {
    agent: ureq::Agent,
    url: String,
    token: Option<String>,
}

/// A repair as the console shows it.
#[derive(Clone, Debug, Deserialize)]
pub struct Repair {
    pub execution: String,
    pub playbook: String,
    pub state: String,
    pub reason: String,
    pub plan_hash: Option<String>,
    pub can_decide: bool,
    pub steps: Vec<Step>,
    pub gates: Vec<Gate>,
    pub verify: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Step {
    pub says: String,
    pub command: String,
    pub inverse: Option<String>,
    pub no_inverse: Option<String>,
    pub diff: Vec<(char, String)>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Gate {
    pub name: String,
    pub verdict: serde_json::Value,
    pub reason: String,
}

#[derive(Deserialize)]
struct Listed {
    rows: Vec<ListedRow>,
}

#[derive(Deserialize)]
struct ListedRow {
    id: String,
}

#[derive(Deserialize)]
struct Page {
    headline: String,
    repairs: Vec<Repair>,
}

#[derive(Serialize)]
struct Decision<'a> {
    plan_hash: &'a str,
    who: &'a str,
    reason: &'a str,
}

/// What a refusal's answer says.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// A word is on the log before the answer, which may take the producer's own time.
const PATIENCE: Duration = Duration::from_secs(15);
/// Of an answer; a plan is at most 200 KB.
const ANSWER_BYTES_MAX: u64 = 8 << 20;

pub fn run(args: &ApproveArgs, out: &mut dyn Write) -> Result<()> {
    let client = Client::new(&args.console, args.token.clone());
    let Some(execution) = &args.execution else {
        return waiting(&client, out);
    };
    let Some(plan) = &args.plan else {
        let repair = client.execution(execution)?;
        show(&repair, out)?;
        return next(&repair, out);
    };
    if args.who.is_empty() {
        bail!("say who you are with --who: the audit names the person behind each word");
    }
    let verdict = if args.reject { "reject" } else { "approve" };
    client.decide(execution, verdict, plan, &args.who, &args.reason)?;
    writeln!(out, "{verdict}: {execution}, plan {plan}, by {}", args.who)?;
    Ok(())
}

fn waiting(client: &Client, out: &mut dyn Write) -> Result<()> {
    let mut found = 0;
    for incident in client.incidents()? {
        let page: Page = client.get(&format!("api/incidents/{incident}"))?;
        for repair in page.repairs.iter().filter(|repair| repair.can_decide) {
            found += 1;
            writeln!(out, "{}  {}  {}", repair.execution, repair.playbook, page.headline)?;
        }
    }
    if found == 0 {
        writeln!(out, "no plan waits for a word")?;
    }
    Ok(())
}

fn show(repair: &Repair, out: &mut dyn Write) -> Result<()> {
    let Repair { execution, playbook, state, .. } = repair;
    writeln!(out, "{execution}: {playbook}, {state}")?;
    for step in &repair.steps {
        writeln!(out, "  {}", step.says)?;
        for (sign, line) in &step.diff {
            writeln!(out, "    {sign} {line}")?;
        }
        writeln!(out, "    sends  {}", step.command)?;
        let back = step.inverse.as_ref().or(step.no_inverse.as_ref());
        writeln!(out, "    back   {}", back.map_or("none", String::as_str))?;
    }
    for gate in &repair.gates {
        let verdict = gate.verdict.as_str().unwrap_or("?");
        writeln!(out, "  {verdict:<7} {}: {}", gate.name, gate.reason)?;
    }
    if let Some(verify) = &repair.verify {
        writeln!(out, "  then    {verify}")?;
    }
    if !repair.reason.is_empty() {
        writeln!(out, "  {}", repair.reason)?;
    }
    Ok(())
}

fn next(repair: &Repair, out: &mut dyn Write) -> Result<()> {
    match &repair.plan_hash {
        Some(hash) if repair.can_decide => writeln!(
            out,
            "\nto approve exactly this:  gannet approve {} --plan {hash}",
            repair.execution
        )?,
        _ => writeln!(out, "\nnobody waits for a word on it")?,
    }
    Ok(())
}

// === impl Client ===

impl Client {
    pub fn new(url: &str, token: Option<String>) -> Client {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .build();
        let url = url.trim_end_matches('/').to_owned();
        Client { agent: ureq::Agent::new_with_config(config), url, token }
    }

    pub fn incidents(&self) -> Result<Vec<String>> {
        let listed: Listed = self.get("api/incidents")?;
        Ok(listed.rows.into_iter().map(|row| row.id).collect())
    }

    pub fn repairs(&self, incident: &str) -> Result<Vec<Repair>> {
        Ok(self.get::<Page>(&format!("api/incidents/{}", plain(incident)?))?.repairs)
    }

    pub fn execution(&self, id: &str) -> Result<Repair> {
        self.get(&format!("api/executions/{}", plain(id)?))
    }

    /// Says a person's word; an error where it changed nothing.
    pub fn decide(
        &self,
        execution: &str,
        verdict: &str,
        plan_hash: &str,
        who: &str,
        reason: &str,
    ) -> Result<()> {
        let url = format!("{}/api/executions/{}/{verdict}", self.url, plain(execution)?);
        let request = self.agent.post(&url).header("content-type", "application/json");
        let request = request.header("x-gannet-client", "gannet");
        let request = match &self.token {
            Some(token) => request.header("authorization", &format!("Bearer {token}")),
            None => request,
        };
        let body = serde_json::to_string(&Decision { plan_hash, who, reason })?;
        let answer = request.send(body);
        let _: serde_json::Value = read(answer).with_context(|| self.unreached())?;
        Ok(())
    }

    fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T> {
        let request = self.agent.get(format!("{}/{path}", self.url));
        let request = match &self.token {
            Some(token) => request.header("authorization", &format!("Bearer {token}")),
            None => request,
        };
        read(request.call()).with_context(|| self.unreached())
    }

    fn unreached(&self) -> String {
        format!("the console at {} (--console) does not do it", self.url)
    }
}

/// An id is a part of a path, and nothing else.
fn plain(id: &str) -> Result<&str> {
    let is_plain = !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if is_plain { Ok(id) } else { bail!("{id:?} is no id") }
}

fn read<T: serde::de::DeserializeOwned>(
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<T> {
    let mut answer = answer?;
    let status = answer.status();
    let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string()?;
    if !status.is_success() {
        let said = serde_json::from_str::<Refusal>(&text).map(|refusal| refusal.error);
        bail!("{status}: {}", said.unwrap_or_else(|_| text.chars().take(200).collect()));
    }
    serde_json::from_str(&text).context("its answer is not what this version expects")
}
