//! Google's file of a service account, for the rivals that insist on one.

use serde_json::{Value, json};

pub(crate) const SCOPES: &[&str] = &["https://api.example/all"];

/// Its token endpoint is at this URL. Every exchange there takes a signature with the key.
pub(crate) fn service_account(token_url: &str) -> Value {
    json!({
        "type": "service_account",
        "project_id": "peers",
        "private_key": include_str!("../../../../tests/it/grants/rsa_for_tests.pem"),
        "client_email": "peers@example",
        "token_uri": token_url,
    })
}
