//! Clients that openapi-generator has generated, with `supportMiddleware` and with `supportTokenSource`.

mod common;

use std::sync::Arc;

use common::{BoxError, Site};

/// The generated function adds `/jobs` to the base path.
fn base_path(url: &str) -> String {
    url.strip_suffix("/jobs").unwrap_or(url).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_middleware_gets_the_token() -> Result<(), BoxError> {
    use jobs_middleware::apis::configuration::Configuration;
    use jobs_middleware::apis::{Error, default_api};

    let site = Site::start().await;
    let provider = site.builder().build()?;
    let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new());
    // The code of a user.
    let client = client.with(provider.middleware()).build();
    // End.
    let call = async |url: String| -> Result<u16, BoxError> {
        let configuration = Configuration {
            base_path: base_path(&url),
            client: client.clone(),
            ..Configuration::default()
        };
        match default_api::list_jobs(&configuration).await {
            Ok(_) => Ok(200),
            Err(Error::ResponseError(response)) => Ok(response.status.as_u16()),
            Err(error) => Err(error.into()),
        }
    };
    site.refreshes(&call).await;
    site.heals(&provider, true, &call).await;
    site.redirects(true, &call).await;
    site.fails(&provider, &call).await;
    (site.secrets).are_not_logged(&["everbearer", "reqwest"], &[]);
    Ok(())
}

/// The token source does not learn of a refusal, and does not know the origin of the request.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_a_token_source_gets_the_token() -> Result<(), BoxError> {
    use jobs_token_source::apis::configuration::Configuration;
    use jobs_token_source::apis::{Error, default_api};

    let site = Site::start().await;
    let provider = site.builder().build()?;
    // The code of a user.
    let token_source = Arc::new(provider.clone());
    // End.
    let call = async |url: String| -> Result<u16, BoxError> {
        let configuration = Configuration {
            base_path: base_path(&url),
            token_source: token_source.clone(),
            ..Configuration::default()
        };
        let outcome = default_api::list_jobs(&configuration).await;
        // The code of a user.
        if let Err(Error::ResponseError(response)) = &outcome
            && response.status == 401
            && let Some(token) = provider.current()
        {
            provider.invalidate(&token).await?;
        }
        // End.
        match outcome {
            Ok(_) => Ok(200),
            Err(Error::ResponseError(response)) => Ok(response.status.as_u16()),
            Err(error) => Err(error.into()),
        }
    };
    site.refreshes(&call).await;
    site.heals(&provider, false, &call).await;
    site.redirects(true, &call).await;
    site.fails(&provider, &call).await;
    (site.secrets).are_not_logged(&["everbearer", "reqwest"], &[]);
    Ok(())
}
