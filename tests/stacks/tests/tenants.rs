//! A provider for each of 20 tenants, at one auth server.

mod common;

use std::time::Duration;

use common::{BoxError, Site, in_time};
use everbearer::{Error, ErrorKind, Grant, RequestBuilderExt as _, TokenProvider, TokenProviders};
use futures_util::future::{join_all, try_join_all};
use reqwest::Response;
use serde_json::Value;
use tokio::time::sleep;

const TENANTS: usize = 20;

/// Looks up the client secret of a tenant, in place of a database.
async fn secret_of(tenant: &str) -> Result<String, Error> {
    tokio::task::yield_now().await;
    Ok(format!("the-secret-of-{tenant}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tenant_gets_its_own_token() -> Result<(), BoxError> {
    let names: Vec<_> = (0..TENANTS).map(|it| format!("tenant-{it}")).collect();
    let secrets = names.iter().map(|name| secret_of(name));
    let secrets = try_join_all(secrets).await?;
    let clients: Vec<_> = names.iter().cloned().zip(secrets).collect();
    let site = Site::start_for(&clients).await;
    // With the default policy, a token is refreshed 1.3 s before it expires.
    site.auth.set_short_term_lifetime(Duration::from_secs(3));
    let issuer = site.issuer();
    // The code of a user.
    let tenants = TokenProviders::new(issuer, |issuer, tenant: String| async move {
        let grant = Grant::client_secret(&*tenant, secret_of(&tenant).await?);
        Ok(TokenProvider::builder(issuer, grant).name(tenant))
    });
    // End.
    let client = reqwest::Client::new();
    let call = async |tenant: &String, url: String| -> Result<Response, BoxError> {
        // The code of a user.
        let provider = tenants.get(tenant).await?;
        let response = client.get(url).send_with(&provider).await?;
        // End.
        Ok(response)
    };
    let checked = async |tenant: &String| {
        let response = in_time(call(tenant, site.auth.url("/jobs"))).await.unwrap();
        assert_eq!(response.status(), 200);
        let body: Value = response.json().await.unwrap();
        let token = site.auth.token(body["token_id"].as_str().unwrap());
        assert_eq!(token.unwrap().client_id, *tenant);
    };
    let until_refreshed = async |tenant: &String| {
        while !site.has_refreshed(tenant) {
            checked(tenant).await;
            sleep(Duration::from_millis(100)).await;
        }
    };
    join_all(names.iter().map(&until_refreshed)).await;
    let before = site.outcomes();
    assert_eq!((before.expired, before.revoked, before.invalid), (0, 0, 0));

    for tenant in &names {
        site.revoke(&tenants.get(tenant).await?);
    }
    join_all(names.iter().map(&checked)).await;
    let after = site.outcomes();
    assert_eq!((after.expired, after.invalid), (0, 0));
    assert!((1..=20).contains(&after.revoked), "{after:?}");

    // `reqwest_plain.rs` has a redirect to this origin.
    let response = call(&names[0], format!("{}/landing", site.foreign)).await?;
    assert_eq!(response.status(), 200);
    assert_eq!(site.at_foreign(), [None]);

    let reports = in_time(tenants.shutdown()).await;
    assert_eq!(reports.reports.len(), TENANTS);
    assert!(reports.all_revoked(), "{reports}");
    let error = call(&names[0], site.auth.url("/jobs")).await.unwrap_err();
    site.secrets.are_not_in(&*error);
    let cause = Error::find_in(&*error).map(Error::kind);
    assert_eq!(cause, Some(ErrorKind::ShutDown));
    (site.secrets).are_not_logged(&["everbearer", "reqwest"], &[]);
    Ok(())
}
