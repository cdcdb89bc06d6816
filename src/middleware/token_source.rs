//! The adapter of clients that openapi-generator writes with `supportTokenSource`.

use google_cloud_token::TokenSource;

use crate::provider::TokenProvider;

/// Needs the feature `google-cloud-token`, and is for the clients that openapi-generator writes in Rust with the option
/// `supportTokenSource`. Set `token_source` of the generated `Configuration` to the provider:
///
/// ```
/// # fn example(provider: everbearer::TokenProvider) {
/// let token_source = std::sync::Arc::new(provider);
/// # let token_source: std::sync::Arc<dyn google_cloud_token::TokenSource> = token_source;
/// # }
/// ```
///
/// The generated client adds the token to each of its requests, whatever their origin, and cannot send a request again
/// after a refusal. With the option `supportMiddleware`, `BearerMiddleware` does both.
#[async_trait::async_trait]
impl TokenSource for TokenProvider {
    /// Returns the value of the `Authorization` header, as [`TokenProvider::authorization`] does.
    async fn token(&self) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.authorization().await?.to_str()?.to_owned())
    }
}
