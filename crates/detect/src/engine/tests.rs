//! Both engines in process, over messages framed as on the log.

mod account;
mod ends;
mod equality;
mod flood;
mod late;
mod loss;
mod lost;
mod rig;
mod rows;
mod silent;
