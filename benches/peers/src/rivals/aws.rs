//! The lazy identity cache of AWS's and other Smithy clients, called as their orchestrator does.

use std::sync::Arc;
use std::time::Duration;

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::SystemTimeSource;
use aws_smithy_runtime::client::auth::http::BearerAuthScheme;
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::orchestrator::endpoints::StaticUriEndpointResolver;
use aws_smithy_runtime::client::retries::strategy::NeverRetryStrategy;
use aws_smithy_runtime_api::client::auth::http::HTTP_BEARER_AUTH_SCHEME_ID;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::identity::http::Token;
use aws_smithy_runtime_api::client::identity::{
    Identity, IdentityFuture, ResolveCachedIdentity as _, ResolveIdentity, SharedIdentityResolver,
};
use aws_smithy_runtime_api::client::runtime_components::{
    RuntimeComponents, RuntimeComponentsBuilder,
};
use aws_smithy_types::config_bag::ConfigBag;
use http::HeaderValue;

use crate::rival::{Refusal, Rival};
use crate::source::Source;

/// How long before the end a token counts as expired, by default.
const BUFFER: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(crate) struct Aws(Arc<Inner>);

struct Inner {
    components: RuntimeComponents,
    resolver: SharedIdentityResolver,
    config: ConfigBag,
}

impl Rival for Aws {
    const NAME: &'static str = "aws-smithy-runtime";
    type Refused = Refusal;

    async fn start(source: &Source) -> Self {
        // A token that lives no longer than the buffer would never be cached.
        let buffer = BUFFER.min(source.life() / 5);
        let resolver = SharedIdentityResolver::new(Resolver(source.clone()));
        let schemes = StaticAuthSchemeOptionResolver::new(vec![HTTP_BEARER_AUTH_SCHEME_ID]);
        let components = RuntimeComponentsBuilder::new("peers")
            .with_auth_scheme(BearerAuthScheme::new())
            .with_auth_scheme_option_resolver(Some(schemes))
            .with_endpoint_resolver(Some(StaticUriEndpointResolver::http_localhost(80)))
            .with_identity_cache(Some(IdentityCache::lazy().buffer_time(buffer).build()))
            .with_identity_resolver(HTTP_BEARER_AUTH_SCHEME_ID, resolver.clone())
            .with_retry_strategy(Some(NeverRetryStrategy::new()))
            .with_sleep_impl(Some(TokioSleep::new()))
            .with_time_source(Some(SystemTimeSource::new()))
            .build()
            .unwrap();
        Self(Arc::new(Inner {
            components,
            resolver,
            config: ConfigBag::base(),
        }))
    }

    async fn header(&self) -> Result<HeaderValue, Refusal> {
        let Inner {
            components,
            resolver,
            config,
        } = &*self.0;
        let cache = components.identity_cache();
        let identity = cache.resolve_cached_identity(resolver.clone(), components, config);
        let identity = identity.await?;
        let token = identity.data::<Token>().ok_or("not a token")?;
        Ok(HeaderValue::try_from(format!("Bearer {}", token.token()))?)
    }
}

#[derive(Debug)]
struct Resolver(Source);

impl ResolveIdentity for Resolver {
    fn resolve_identity<'a>(
        &'a self,
        _components: &'a RuntimeComponents,
        _config: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        IdentityFuture::new(async {
            let minted = self.0.mint().await;
            let ends_at = Some(minted.ends_at);
            Ok(Identity::new(Token::new(minted.token, ends_at), ends_at))
        })
    }
}
