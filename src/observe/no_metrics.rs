//! In the place of `metrics.rs` without the feature `metrics`: nothing is measured.

#![allow(
    clippy::unused_self,
    reason = "it is called as the other is, so that no caller needs to know which it has"
)]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::event::Event;
use super::status::Status;

#[derive(Debug)]
pub(crate) struct Metrics;

#[derive(Debug)]
pub(crate) struct Waiting;

impl Metrics {
    pub(crate) const ON: bool = false;

    pub(crate) const fn new(_: &Arc<str>, _: usize) -> Self {
        Self
    }

    pub(crate) const fn without_gauges(_: &Arc<str>) -> Self {
        Self
    }

    pub(super) const fn note(&self, _: &Event) {}

    pub(crate) const fn exchange_took(&self, _: &Arc<[String]>, _: Duration) {}

    pub(crate) const fn resent(&self, _: &Arc<[String]>) {}

    pub(crate) const fn waiting(&self, _: &Arc<[String]>) -> Waiting {
        Waiting
    }

    pub(crate) const fn read(&self, _: &Arc<[String]>, _: &Status, _: SystemTime) {}
}
