//! hyper-util's client with the tower layer.

mod common;

use bytes::Bytes;
use common::{BoxError, Site};
use http::Request;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tower::{ServiceBuilder, ServiceExt as _};
use tower_http::follow_redirect::FollowRedirectLayer;

#[tokio::test(flavor = "multi_thread")]
async fn each_request_gets_the_token() {
    let site = Site::start().await;
    let provider = site.builder().build().unwrap();
    // The code of a user.
    let layer = provider.layer();
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let client = ServiceBuilder::new().layer(layer).service(client);
    // End.
    let call = async |url: String| -> Result<u16, BoxError> {
        let request = Request::post(url).body(Full::from("a job"))?;
        let response = client.clone().oneshot(request).await?;
        Ok(response.status().as_u16())
    };
    site.refreshes(&call).await;
    site.heals(&provider, true, &call).await;
    site.fails(&provider, &call).await;
    (site.secrets).are_not_logged(&["everbearer", "hyper_util"], &[]);
}

/// hyper's client follows no redirects. tower-http's layer does, outside of the provider's.
#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_does_not_carry_the_token_to_another_origin() {
    let site = Site::start().await;
    let provider = site.builder().build().unwrap();
    let client = || Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let plain = ServiceBuilder::new().layer(provider.layer());
    let plain = plain.service(client());
    // The code of a user.
    let layers = ServiceBuilder::new().layer(FollowRedirectLayer::new());
    let following = layers.layer(provider.layer()).service(client());
    // End.
    let get = |url: String| Request::get(url).body(Full::default());
    let call = async |url: String| -> Result<u16, BoxError> {
        Ok(plain.clone().oneshot(get(url)?).await?.status().as_u16())
    };
    site.redirects(false, &call).await;
    let call = async |url: String| -> Result<u16, BoxError> {
        let response = following.clone().oneshot(get(url)?).await?;
        Ok(response.status().as_u16())
    };
    site.redirects(true, &call).await;
    site.refreshes(&call).await;
    site.heals(&provider, true, &call).await;
    site.fails(&provider, &call).await;
    (site.secrets).are_not_logged(&["everbearer", "hyper_util"], &[]);
}
