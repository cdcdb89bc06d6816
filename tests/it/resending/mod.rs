//! What happens to a request whose token was refused.

mod bounds;
mod one_connection;
mod refusals;
mod retries;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use everbearer::TokenProvider;
use http::Extensions;
use reqwest::{Request, Response, ResponseBuilderExt as _, Url};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};

const URL: &str = "https://api.example.com/jobs";

/// Answers without a network: with these statuses, then with 200. Each answer takes this long.
#[derive(Clone, Default)]
struct Server {
    statuses: Arc<Mutex<VecDeque<u16>>>,
    delay: Duration,
    received: Arc<Mutex<Vec<Received>>>,
}

struct Received {
    token: Option<String>,
    timeout: Option<Duration>,
}

impl Server {
    fn answering(statuses: impl IntoIterator<Item = u16>) -> Self {
        Self {
            statuses: Arc::new(Mutex::new(statuses.into_iter().collect())),
            ..Self::default()
        }
    }

    fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    fn tokens(&self) -> Vec<String> {
        let received = self.received.lock().unwrap();
        let tokens = received.iter().map(|it| it.token.clone());
        tokens.map(Option::unwrap_or_default).collect()
    }

    fn timeouts(&self) -> Vec<Option<Duration>> {
        let received = self.received.lock().unwrap();
        received.iter().map(|it| it.timeout).collect()
    }

    fn client(&self, provider: &TokenProvider) -> ClientWithMiddleware {
        self.behind(provider.middleware())
    }

    fn behind(&self, middleware: impl Middleware) -> ClientWithMiddleware {
        ClientBuilder::new(reqwest::Client::new())
            .with(middleware)
            .with(self.clone())
            .build()
    }
}

#[async_trait::async_trait]
impl Middleware for Server {
    async fn handle(
        &self,
        request: Request,
        _: &mut Extensions,
        _: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let token = request.headers().get("authorization");
        self.received.lock().unwrap().push(Received {
            token: token.map(|token| token.to_str().unwrap().replace("Bearer ", "")),
            timeout: request.timeout().copied(),
        });
        tokio::time::sleep(self.delay).await;
        let status = self.statuses.lock().unwrap().pop_front();
        Ok(answer(status.unwrap_or(200), request.url().clone()))
    }
}

fn answer(status: u16, url: Url) -> Response {
    let answer = http::Response::builder().status(status).url(url);
    answer.body("the answer").unwrap().into()
}
