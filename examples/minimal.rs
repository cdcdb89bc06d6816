//! The shortest example: a client that adds a token to its requests.
//!
//! ```sh
//! cargo run --example minimal
//! ```

use everbearer::testkit::AuthServer;
use everbearer::{AuthApi, Grant, TokenProvider};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = AuthServer::start().await?; // in place of your auth server
    let (base_url, target) = (server.base_url(), server.url("/jobs"));
    let (id, secret) = (server.client_id(), server.client_secret());

    let api = AuthApi::new(base_url)?;
    let provider = TokenProvider::builder(api, Grant::client_secret(id, secret)).build()?;
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
        .with(provider.middleware())
        .build();

    let response = client.get(target).send().await?;
    println!("{}: {}", response.status(), response.text().await?);

    let report = provider.shutdown().await;
    println!("all tokens revoked: {}", report.all_revoked());
    Ok(())
}
