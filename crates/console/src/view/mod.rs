//! View models: what a page says, made from the store and nothing else. Each is rendered as HTML or
//! given as JSON. None reads a clock: what depends on now is left to the templates and the browser.

pub mod chart;
pub mod data;
pub mod incident;
pub mod layout;
pub mod list;
pub mod repair;
pub mod timeline;
pub mod topology;
pub mod words;
