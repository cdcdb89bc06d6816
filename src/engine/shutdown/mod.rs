//! The shutdown: the caller's part, the driver's part, and the report.

pub(super) mod begin;
pub(super) mod drain;
pub(super) mod report;
mod report_builder;

pub(crate) use begin::shut_down;
