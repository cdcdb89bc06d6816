//! Rotating the long-term token.

mod at_the_server;
mod by_time;
mod crashes;
mod errands;
mod meddling;
mod mishaps;
mod sharing;
mod stores;
