//! Adds the token to the requests of tower services over `http` requests: hyper-util's client, axum and tonic.

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

/// Is the error of [`Bearer`]: an error of the inner service or of the provider.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
