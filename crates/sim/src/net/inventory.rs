//! The inventory file of the simulated network: what an operator would know and write down about
//! it. Nothing of the truth is in it.

use std::fmt::Write;

use super::layout::{Kind, Layout, Role};
use super::params::Exporters;

/// YAML as `gannet inventory apply` reads it.
pub fn text(layout: &Layout, exporters: Exporters, snmp_port: u16) -> String {
    let mut out = String::new();
    let management = layout.devices[layout.management()].name;
    line(&mut out, format_args!("management: {management}"));
    line(&mut out, format_args!("devices:"));
    for device in &layout.devices {
        let role = match device.role {
            Role::Router => "router",
            Role::Switch => "switch",
        };
        let (name, address, site) = (device.name, device.address, device.site);
        let exporter = match exporters.take(device) {
            Some(_) => format!("exporter: {address}, "),
            None => String::new(),
        };
        line(
            &mut out,
            format_args!(
                "  - {{ name: {name}, address: {address}, {exporter}role: {role}, class: sim, \
                 site: {site}, snmp: {{ port: {snmp_port}, credential: sim }} }}"
            ),
        );
    }
    line(&mut out, format_args!("links:"));
    for link in &layout.links {
        let (a, b) = (layout.port_name(link.a), layout.port_name(link.b));
        let speed = link.speed_bps;
        line(&mut out, format_args!("  - {{ a: \"{a}\", b: \"{b}\", speed_bps: {speed} }}"));
    }
    line(&mut out, format_args!("networks:"));
    for network in &layout.networks {
        let (name, prefix) = (network.name, network.prefix);
        let at = layout.port_name(network.port);
        line(&mut out, format_args!("  - {{ name: {name}, prefix: \"{prefix}\", at: \"{at}\" }}"));
    }
    line(&mut out, format_args!("groups:"));
    for group in &layout.groups {
        let members = group.links.iter().map(|link| format!("link/{}", layout.link_name(*link)));
        line(&mut out, format_args!("  - {{ name: {}, members: {} }}", group.name, list(members)));
    }
    line(&mut out, format_args!("services:"));
    for (name, kind) in [("servers", Kind::Servers), ("clients", Kind::Clients)] {
        let members = layout.networks.iter().filter(|network| network.kind == kind);
        let members = members.map(|network| format!("node/{}", network.name));
        line(&mut out, format_args!("  - {{ name: {name}, members: {} }}", list(members)));
    }
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("a String takes all that is written to it");
}

fn list(members: impl Iterator<Item = String>) -> String {
    let quoted: Vec<String> = members.map(|member| format!("\"{member}\"")).collect();
    format!("[{}]", quoted.join(", "))
}
