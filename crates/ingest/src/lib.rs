//! What a network says about itself, received, decoded into columns and put on the log: NetFlow v5,
//! v9 and IPFIX. Judging what is normal is left to `detect`.

pub mod decode;
pub mod engine;

#[cfg(test)]
mod tests;
