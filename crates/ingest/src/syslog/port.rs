//! Names of interfaces as `ifName` has them. Devices of the IOS family write the long name in their
//! messages and the short one in `ifName` (`GigabitEthernet0/1`, `Gi0/1`); NX-OS, IOS-XR, EOS,
//! Junos and Huawei have one name for both.

/// IOS's long and short names. `ifName` takes two letters, three where two would be ambiguous.
const SHORT: [(&str, &str); 28] = [
    ("AppGigabitEthernet", "Ap"),
    ("Async", "As"),
    ("ATM", "AT"),
    ("BDI", "BD"),
    ("BVI", "BV"),
    ("Cellular", "Ce"),
    ("Dialer", "Di"),
    ("Ethernet", "Et"),
    ("FastEthernet", "Fa"),
    ("FiveGigabitEthernet", "Fi"),
    ("FortyGigabitEthernet", "Fo"),
    ("GigabitEthernet", "Gi"),
    ("HundredGigE", "Hu"),
    ("HundredGigabitEthernet", "Hu"),
    ("Loopback", "Lo"),
    ("Multilink", "Mu"),
    ("Null", "Nu"),
    ("POS", "PO"),
    ("Port-channel", "Po"),
    ("Serial", "Se"),
    ("TenGigabitEthernet", "Te"),
    ("Tunnel", "Tu"),
    ("TwentyFiveGigE", "Twe"),
    ("TwentyFiveGigabitEthernet", "Twe"),
    ("TwoGigabitEthernet", "Tw"),
    ("Virtual-Access", "Vi"),
    ("Virtual-Template", "Vt"),
    ("Vlan", "Vl"),
];

/// The short form of an IOS name; a name that is not in the table stays.
pub fn short(name: &str) -> String {
    let end = name.find(|c: char| c.is_ascii_digit()).unwrap_or(name.len());
    let (kind, number) = name.split_at(end);
    match SHORT.iter().find(|(long, _)| *long == kind) {
        Some((_, short)) => format!("{short}{number}"),
        None => name.to_owned(),
    }
}
