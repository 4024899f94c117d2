//! The configuration of one test broker: KRaft, both roles in one process, loopback only.

use std::path::Path;

/// Ports of one broker on 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    pub client: u16,
    pub controller: u16,
}

/// What does not depend on the run. The transaction sweep is 1 s instead of 10 s, so that a
/// killed writer's open transaction does not hold readers back for longer than its own timeout.
/// Retention is looked at each second instead of every five minutes: a test whose times are longer
/// past than its topics keep fails always, not when it happens to meet the broker's look.
const FIXED: &str = "\
process.roles=broker,controller
node.id=1
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
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

/// `server.properties` of a broker with its log under `data`.
pub fn server(ports: Ports, data: &Path, fast_timeouts: bool) -> String {
    let Ports { client, controller } = ports;
    let listeners = format!("PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}");
    let mut text = FIXED.to_string();
    text += &format!("controller.quorum.voters=1@127.0.0.1:{controller}\n");
    text += &format!("listeners={listeners}\nadvertised.listeners={listeners}\n");
    text += &format!("log.dirs={}\n", data.display());
    if fast_timeouts {
        text += FAST_TIMEOUTS;
    }
    text
}
