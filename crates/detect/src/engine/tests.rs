//! Both engines in process, over messages framed as on the log.

mod equality;
mod flood;
mod late;
mod loss;
mod rig;
mod rows;
mod silent;
