//! The catalogue against the table of DESIGN §1.

use std::collections::BTreeMap;

use super::{TopicSpec, catalogue, some};
use crate::config::{BusConfig, Engine};

fn by_name(engine: Engine) -> BTreeMap<String, TopicSpec> {
    let config = BusConfig { engine, ..BusConfig::default() };
    let all = catalogue(&config);
    let count = all.len();
    let map: BTreeMap<String, TopicSpec> =
        all.into_iter().map(|spec| (spec.name.clone(), spec)).collect();
    assert_eq!(map.len(), count, "a topic is in the catalogue twice");
    map
}

#[test]
fn the_catalogue_has_the_partitions_and_policies_of_the_design() {
    let all = by_name(Engine::Kafka);
    for name in ["flows", "metrics", "events", "partials", "signals"] {
        let spec = &all[&format!("gannet.{name}.v1")];
        assert_eq!((spec.partitions, &*spec.settings["cleanup.policy"]), (12, "delete"));
        assert_eq!(all[&format!("gannet.{name}.v1.dlq")].partitions, 12);
    }
    for name in ["flows", "metrics", "events"] {
        assert!(all.contains_key(&format!("gannet.{name}.v1.late")));
    }
    let days = |name: &str, setting: &str| -> u64 {
        all[name].settings[setting].parse::<u64>().unwrap() / 86_400_000
    };
    assert!(days("gannet.signals.v1", "retention.ms") >= 35);
    assert_eq!(days("gannet.incidents.v1", "min.compaction.lag.ms"), 7);
    assert_eq!(all["gannet.incidents.v1"].settings["cleanup.policy"], "compact,delete");
    for name in ["topology", "inventory", "interfaces", "templates", "config"] {
        let spec = &all[&format!("gannet.{name}.v1")];
        assert_eq!((spec.partitions, &*spec.settings["cleanup.policy"]), (4, "compact"));
        assert!(!all.contains_key(&format!("gannet.{name}.v1.dlq")));
    }
    assert!(by_name(Engine::Embedded).values().all(|spec| spec.partitions == 2));
}

#[test]
fn some_topics_are_found_by_their_short_names() {
    let found = some(&BusConfig::default(), &["flows.v1", "flows.v1.dlq"]);
    let names: Vec<&str> = found.iter().map(|spec| spec.name.as_str()).collect();
    assert_eq!(names, ["gannet.flows.v1", "gannet.flows.v1.dlq"]);
}
