//! The engine, under schedulers that try one interleaving after another. A caller that is left
//! waiting for ever is a deadlock, which shuttle reports.

mod check;
mod ending;
mod flights;
mod issuer;
mod readers;
mod rotating;
mod shutting_down;
mod support;
mod waiters;
