//! The auth server of the contract.

mod answer;
mod bodies;
mod builder;
mod client;
mod issuer;
pub mod models;

pub use builder::AuthApiBuilder;
pub use client::AuthApi;
