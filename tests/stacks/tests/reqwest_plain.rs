//! A plain `reqwest::Client` with `send_with`.

mod common;

use common::{BoxError, Site};
use everbearer::RequestBuilderExt as _;

#[tokio::test(flavor = "multi_thread")]
async fn send_with_adds_the_token() {
    let site = Site::start().await;
    let provider = site.builder().build().unwrap();
    let client = reqwest::Client::new();
    let call = async |url: String| -> Result<u16, BoxError> {
        // The code of a user.
        let response = client.get(url).send_with(&provider).await?;
        // End.
        Ok(response.status().as_u16())
    };
    site.refreshes(&call).await;
    site.heals(&provider, true, &call).await;
    site.redirects(true, &call).await;
    site.fails(&provider, &call).await;
    (site.secrets).are_not_logged(&["everbearer", "reqwest"], &[]);
}
