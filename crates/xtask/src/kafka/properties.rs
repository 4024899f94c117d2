//! The configuration of one test broker: KRaft, both roles in one process, loopback only.

use std::path::Path;

/// Ports of one broker on 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    pub client: u16,
    pub controller: u16,
}

/// Whether clients must say who they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Access {
    /// Anybody may do anything.
    #[default]
    Open,
    /// SASL/PLAIN and Kafka's own authorizer, which refuses what nobody has allowed.
    Asked,
}

/// Who may come in where they are asked; the first may do anything. A password is the name with
/// `-secret` behind it: tests of other crates say so too.
const USERS: [&str; 4] = ["admin", "gannet-console", "gannet-act", "gannet-detect"];

/// What does not depend on the run. The transaction sweep is 1 s instead of 10 s, so that a
/// killed writer's open transaction does not hold readers back for longer than its own timeout.
/// Retention is looked at each second instead of every five minutes: a test whose times are longer
/// past than its topics keep fails always, not when it happens to meet the broker's look.
const FIXED: &str = "\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=4
offsets.topic.num.partitions=3
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
log.initial.task.delay.ms=1000
log.retention.check.interval.ms=1000
";

/// Lets a consumer ask for a session of 1 s (the broker's floor is 6 s by default), so that a
/// crash is noticed in test time.
const FAST_TIMEOUTS: &str = "group.min.session.timeout.ms=1000\n";

/// The controller's listener asks as well, or whoever reaches it would be somebody.
const ASKED: &str = "\
sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.mechanism.controller.protocol=PLAIN
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
";

/// `server.properties` of a broker with its log under `data`.
pub fn server(ports: Ports, data: &Path, fast_timeouts: bool, access: Access) -> String {
    let Ports { client, controller } = ports;
    let protocol = match access {
        Access::Open => "PLAINTEXT",
        Access::Asked => "SASL_PLAINTEXT",
    };
    let listeners = format!("{protocol}://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}");
    let mut text = FIXED.to_string();
    text += &format!("inter.broker.listener.name={protocol}\n");
    let map = format!("CONTROLLER:{protocol},{protocol}:{protocol}");
    text += &format!("listener.security.protocol.map={map}\n");
    text += &format!("controller.quorum.voters=1@127.0.0.1:{controller}\n");
    text += &format!("listeners={listeners}\nadvertised.listeners={listeners}\n");
    text += &format!("log.dirs={}\n", data.display());
    if fast_timeouts {
        text += FAST_TIMEOUTS;
    }
    if access == Access::Asked {
        text += ASKED;
        text += &format!("super.users=User:{}\n", USERS[0]);
        for listener in ["controller", "sasl_plaintext"] {
            text += &format!("listener.name.{listener}.plain.sasl.jaas.config={}\n", logins());
        }
    }
    text
}

/// The broker's own login and everybody's password, as Kafka's PLAIN module takes them.
fn logins() -> String {
    let module = "org.apache.kafka.common.security.plain.PlainLoginModule";
    let admin = USERS[0];
    let mut text = format!("{module} required username=\"{admin}\" password=\"{admin}-secret\"");
    for user in USERS {
        text += &format!(" user_{user}=\"{user}-secret\"");
    }
    text + ";"
}
