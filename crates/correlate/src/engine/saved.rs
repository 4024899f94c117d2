//! The state as blocks: what waits, each domain beside its incidents, each incident. An incident
//! that did not change keeps its bytes, and so costs a snapshot nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use model::schema::hex16;
use runtime::task::{Block, RestoreError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::book::{Book, State};
use super::case::Case;
use super::{Correlator, Pending};

/// Format of these blocks; another one is not read, and the task falls back to its input.
const WAITING: &str = "waiting/1";
const DOMAIN: &str = "domain/1/";
const INCIDENT: &str = "incident/1/";

pub(super) fn blocks(engine: &Correlator) -> Vec<Block> {
    let waiting: (Option<i64>, Vec<&model::rows::Anomaly>) =
        (engine.decided_ms, engine.pending.values().collect());
    let mut blocks = vec![block(WAITING.to_owned(), &waiting)];
    for (domain, book) in &engine.domains {
        let name = hex16(domain.as_bytes());
        blocks.push(block(format!("{DOMAIN}{name}"), book.state()));
        for (id, case) in book.cases() {
            blocks.push(block(format!("{INCIDENT}{id}"), case));
        }
    }
    blocks
}

pub(super) fn restore(engine: &mut Correlator, blocks: &[Block]) -> Result<(), RestoreError> {
    let mut states: BTreeMap<String, State> = BTreeMap::new();
    let mut cases: BTreeMap<String, BTreeMap<String, Case>> = BTreeMap::new();
    for block in blocks {
        if block.name == WAITING {
            let (decided_ms, rows): (Option<i64>, Vec<model::rows::Anomaly>) = read(block)?;
            engine.decided_ms = decided_ms;
            engine.pending =
                rows.into_iter().map(|row| (super::Place::of(&row), row)).collect::<Pending>();
        } else if block.name.starts_with(DOMAIN) {
            let state: State = read(block)?;
            states.insert(state.domain().to_owned(), state);
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
        engine.domains.insert(domain, Book::restored(state, of, Arc::clone(&engine.config)));
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
