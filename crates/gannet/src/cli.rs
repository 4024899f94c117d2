//! The command line.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use runtime::active_config::WhileLive;

use crate::config::{self, Stage};
use crate::topics::What;
use crate::{
    activate, approve, check, decode, demo, inventory, listen, network, playbook, run, simnet,
    tail, topics,
};

const EXIT_CODES: &str = "Exit codes: 0 done or drained, 1 failed, 2 the configuration or the \
    command line is wrong, 3 the drain's deadline passed, 130 a second Ctrl-C.\n\
    Variables: GANNET__SECTION__KEY overrides a key of the configuration, RUST_LOG its log level.";

/// Streaming AIOps for networks: telemetry in, incidents and verified repairs out.
#[derive(Debug, Parser)]
#[command(name = "gannet", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Receive flows and put them on the log
    Ingest(IngestArgs),
    /// Run the rules and models: rollup and score
    Detect(StageArgs),
    /// Put anomalies together to incidents
    Correlate(StageArgs),
    /// Plan repairs, and make those that are approved
    Act(StageArgs),
    /// Pages: incidents, repairs to approve, what comes in
    Console(StageArgs),
    /// Every stage in one process, on the embedded log
    All(AllArgs),
    /// A simulated network with a fault, and all stages, in memory; needs nothing
    Demo(demo::DemoArgs),
    /// A simulated network that sends flows, live or from the past
    Sim(network::SimArgs),
    /// A simulated network of routers and switches, live on loopback: flows, SNMP, syslog
    Network(simnet::NetworkArgs),
    /// Decode captures and datagrams from files
    Decode(decode::DecodeArgs),
    /// Compare the topics with the configuration, or make them so
    Topics(TopicsArgs),
    /// The configuration that the stages run on
    #[command(subcommand)]
    Config(ConfigCommand),
    /// The devices, links and services to watch
    #[command(subcommand)]
    Inventory(inventory::InventoryCommand),
    /// Playbooks and what binds their actions
    #[command(subcommand)]
    Playbook(playbook::PlaybookCommand),
    /// Approve or reject a plan, by its hash
    Approve(approve::ApproveArgs),
    /// Check the configuration and plan each rule
    Check(CheckArgs),
    /// Show the rows of a topic
    Tail(tail::TailArgs),
    /// The version
    Version,
}

#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "config/gannet.yaml", env = "GANNET_CONFIG")]
    pub config: PathBuf,
}

#[derive(Debug, Args)]
struct StageArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Name of this instance among those of its stage [default: `instance` of the configuration]
    #[arg(long)]
    instance: Option<String>,
}

#[derive(Debug, Args)]
struct IngestArgs {
    #[command(flatten)]
    stage: StageArgs,
    /// Address to receive flows on instead of the configured ones; may be given again
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Show flows as JSON lines, with no log and no configuration
    #[arg(long)]
    print: bool,
}

#[derive(Debug, Args)]
struct AllArgs {
    #[command(flatten)]
    stage: StageArgs,
    /// Keep the log in memory, whatever the configuration says
    #[arg(long)]
    in_memory: bool,
}

#[derive(Debug, Args)]
struct TopicsArgs {
    /// `plan` shows what differs, `apply` mends what can be, `check` fails where anything differs
    what: What,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Make this configuration the active one of every stage
    Activate {
        #[command(flatten)]
        config: ConfigArgs,
        /// Although instances still run on the old one
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Args)]
struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the effective configuration, defaults and variables included
    #[arg(long)]
    dump: bool,
}

// === impl Cli ===

impl Cli {
    pub fn run(self) -> Result<()> {
        let out = &mut std::io::stdout();
        match self.command {
            Command::Ingest(args) => ingest(args),
            Command::Detect(args) => stage(args, &[Stage::Detect]),
            Command::Correlate(args) => stage(args, &[Stage::Correlate]),
            Command::Act(args) => stage(args, &[Stage::Act]),
            Command::Console(args) => stage(args, &[Stage::Console]),
            Command::All(args) => all(args),
            Command::Demo(args) => demo::run(&args),
            Command::Sim(args) => network::run(args),
            Command::Network(args) => simnet::run(&args),
            Command::Decode(args) => decode::run(&args, out),
            Command::Topics(args) => {
                topics::run(args.what, &config::load(&args.config.config)?.value, out)
            }
            Command::Config(ConfigCommand::Activate { config, force }) => {
                let while_live = if force { WhileLive::Force } else { WhileLive::Refuse };
                activate::run(&config::load(&config.config)?.value, while_live, out)
            }
            Command::Inventory(command) => inventory::run(&command, out),
            Command::Playbook(command) => playbook::run(&command, out),
            Command::Approve(args) => approve::run(&args, out),
            Command::Check(args) => check::run(&args.config.config, args.dump, out),
            Command::Tail(args) => tail::run(&args, out),
            Command::Version => {
                println!("gannet {}", runtime::telemetry::VERSION);
                Ok(())
            }
        }
    }
}

fn ingest(args: IngestArgs) -> Result<()> {
    if args.print {
        return listen::run(args.listen, &mut std::io::stdout());
    }
    let mut loaded = config::load(&args.stage.config.config)?;
    if !args.listen.is_empty() {
        loaded.value.ingest.listen = args.listen;
    }
    loaded.value.instance = args.stage.instance.or(loaded.value.instance);
    run::run(loaded, &[Stage::Ingest])
}

fn stage(args: StageArgs, stages: &[Stage]) -> Result<()> {
    let mut loaded = config::load(&args.config.config)?;
    loaded.value.instance = args.instance.or(loaded.value.instance);
    run::run(loaded, stages)
}

fn all(args: AllArgs) -> Result<()> {
    let mut loaded = config::load(&args.stage.config.config)?;
    let config = &mut loaded.value;
    config.instance = args.stage.instance.or(config.instance.take());
    config.bus.engine = bus::config::Engine::Embedded;
    if args.in_memory {
        config.bus.embedded.path = None;
        config.ingest.spool.path = None;
        config.console.store.path = None;
    }
    run::run(loaded, &Stage::ALL)
}
