//! The adapter of tower: a layer over `http` requests, for hyper-util's client, axum and tonic.

mod attempt;
mod layer;
mod replay_body;
mod resend;
mod response_future;
mod service;

pub use layer::BearerLayer;
pub use replay_body::{ReplayBody, Tape};
pub use resend::{CloneBody, NoResend, Replay, Resend};
pub use response_future::ResponseFuture;
pub use service::Bearer;

/// The error of the service: that of the inner service, or the provider's.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
