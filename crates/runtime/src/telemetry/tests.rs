//! Filters are checked when the configuration is, and `/proc` is read by its manual.

use garde::Validate;

use super::TelemetryConfig;
use super::procfs::{Stat, parse_stat, resident_bytes};

#[test]
fn a_filter_that_does_not_parse_is_refused() {
    let config = TelemetryConfig { log: "info,bus=loud".into(), ..TelemetryConfig::default() };
    assert!(config.validate().is_err());
    assert!(TelemetryConfig::default().validate().is_ok());
}

#[test]
fn a_process_name_with_brackets_does_not_shift_the_fields() {
    let text = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 1000 1 1";
    assert_eq!(parse_stat(text), Some(Stat { cpu_ticks: 300, threads: 9 }));
    assert_eq!(parse_stat(""), None);
    assert_eq!(parse_stat("7 (a) S 1"), None);
}

#[test]
fn resident_memory_is_told_in_bytes() {
    assert_eq!(resident_bytes("VmHWM:\t 9 kB\nVmRSS:\t    4096 kB\n"), Some(4 << 20));
    assert_eq!(resident_bytes("VmRSS:\n"), None);
}
