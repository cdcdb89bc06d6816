//! reqwest 0.12, for which everbearer has no adapter, with `RequestRules`.

mod common;

use common::{BoxError, Site};
use everbearer::{RequestRules, Wants};
use http::Uri;
use http::header::AUTHORIZATION;
use reqwest012::{Client, Request, Response};

// The code of a user.
/// Sends a request with the token, and once more after a refusal if its body can be sent twice.
async fn send(
    client: &Client,
    rules: &RequestRules,
    mut request: Request,
) -> Result<Response, BoxError> {
    let uri: Uri = request.url().as_str().parse()?;
    match rules.wants(&uri, request.headers()) {
        Wants::Token => {}
        Wants::Uncovered => {
            let response = client.execute(request).await?;
            rules.note_uncovered(&uri, response.status());
            return Ok(response);
        }
        _ => return Ok(client.execute(request).await?),
    }
    let token = rules.token(request.timeout().copied()).await?;
    let (url, again) = (request.url().clone(), request.try_clone());
    let header = token.header().clone();
    request.headers_mut().insert(AUTHORIZATION, header);
    let response = client.execute(request).await?;
    // The response to a redirected request may come from another server.
    let is_of_url = *response.url() == url;
    if !is_of_url || !rules.is_refusal(&uri, response.status(), response.headers()) {
        return Ok(response);
    }
    let Some(mut again) = again else {
        rules.report_refusal(&token, None).await;
        return Ok(response);
    };
    let Some(newer) = rules.newer_token(&token, None).await else {
        return Ok(response);
    };
    response.bytes().await?; // so that the connection can be reused
    let header = newer.header().clone();
    again.headers_mut().insert(AUTHORIZATION, header);
    Ok(client.execute(again).await?)
}
// End.

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_over_request_rules_adds_the_token() {
    let site = Site::start().await;
    let provider = site.builder().build().unwrap();
    let (client, rules) = (Client::new(), provider.request_rules());
    let call = async |url: String| -> Result<u16, BoxError> {
        let request = client.get(url).build()?;
        Ok(send(&client, &rules, request).await?.status().as_u16())
    };
    site.refreshes(&call).await;
    site.heals(&provider, true, &call).await;
    site.redirects(true, &call).await;
    site.fails(&provider, &call).await;
    (site.secrets).are_not_logged(&["everbearer", "reqwest"], &[]);
}
