//! The state as blocks: what waits, each domain beside its incidents, each incident. An incident
//! that did not change keeps its bytes, and so costs a snapshot nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use model::schema::hex16;
use runtime::task::{Block, RestoreError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::book::{Book, Elements, State};
use super::case::Case;
use super::held::Evidence;
use super::{Correlator, Pending};

/// Format of these blocks; another one is not read, and the task falls back to its input.
const WAITING: &str = "waiting/2";
const DOMAIN: &str = "domain/2/";
const INCIDENT: &str = "incident/2/";
const TOPOLOGY: &str = "topology/1/";

pub(super) fn blocks(engine: &Correlator) -> Vec<Block> {
    let waiting: (Option<i64>, Vec<&Evidence>) =
        (engine.decided_ms, engine.pending.values().collect());
    let mut blocks = vec![block(WAITING.to_owned(), &waiting)];
    for (domain, book) in &engine.domains {
        let name = hex16(domain.as_bytes());
        blocks.push(block(format!("{DOMAIN}{name}"), book.state()));
        if !book.elements().is_empty() {
            blocks.push(block(format!("{TOPOLOGY}{name}"), book.elements()));
        }
        for (id, case) in book.cases() {
            blocks.push(block(format!("{INCIDENT}{id}"), case));
        }
    }
    blocks
}

pub(super) fn restore(engine: &mut Correlator, blocks: &[Block]) -> Result<(), RestoreError> {
    let mut states: BTreeMap<String, State> = BTreeMap::new();
    let mut cases: BTreeMap<String, BTreeMap<String, Case>> = BTreeMap::new();
    let mut elements: BTreeMap<String, Elements> = BTreeMap::new();
    for block in blocks {
        if block.name == WAITING {
            let (decided_ms, rows): (Option<i64>, Vec<Evidence>) = read(block)?;
            engine.decided_ms = decided_ms;
            engine.pending = rows.into_iter().map(|row| (row.place(), row)).collect::<Pending>();
        } else if block.name.starts_with(DOMAIN) {
            let state: State = read(block)?;
            states.insert(state.domain().to_owned(), state);
        } else if let Some(name) = block.name.strip_prefix(TOPOLOGY) {
            elements.insert(name.to_owned(), read(block)?);
        } else if block.name.starts_with(INCIDENT) {
            let case: Case = read(block)?;
            let of = cases.entry(case.incident.domain.clone()).or_default();
            of.insert(case.incident.id.clone(), case);
        } else {
            return Err(RestoreError(format!("unexpected block {}", block.name)));
        }
    }
    for (domain, state) in states {
        let of = cases.remove(&domain).unwrap_or_default();
        let map = elements.remove(&hex16(domain.as_bytes())).unwrap_or_default();
        let book = Book::restored(state, of, map, Arc::clone(&engine.config));
        engine.domains.insert(domain, book);
    }
    match cases.first_key_value() {
        None => Ok(()),
        Some((domain, _)) => Err(RestoreError(format!("no block of domain {domain}"))),
    }
}

pub(super) fn bytes<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).expect("plain data always has a form in bytes")
}

fn block<T: Serialize>(name: String, value: &T) -> Block {
    Block { name, data: Bytes::from(bytes(value)) }
}

fn read<T: DeserializeOwned>(block: &Block) -> Result<T, RestoreError> {
    postcard::from_bytes(&block.data)
        .map_err(|error| RestoreError(format!("block {}: {error}", block.name)))
}
