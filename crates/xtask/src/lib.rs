//! The project's only automation, as a library so that the integration crate can hold a broker
//! by the hand (kill it, start it again). It links none of the product and no Kafka client: it
//! must build in seconds on a machine that has nothing yet.

pub mod compose;
pub mod fuzz;
pub mod kafka;
pub mod lab;
pub mod machine;
pub mod process;
pub mod python;
pub mod reference;
pub mod suite;
pub mod tidy;
pub mod workspace;
