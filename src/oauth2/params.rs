//! Further parameters of the token request.

use crate::error::{Error, ErrorKind};
use crate::secret::SecretSource;
use crate::wire::Form;

/// The parameters that the issuer sets itself.
const RESERVED: [&str; 5] = [
    "grant_type",
    "assertion",
    "refresh_token",
    "subject_token",
    "subject_token_type",
];

/// Parameters in order, of which a name may stand several times.
#[derive(Debug, Default)]
pub(super) struct Params(Vec<(String, Value)>);

#[derive(Debug)]
enum Value {
    Text(String),
    Secret(SecretSource),
}

impl Params {
    pub(super) fn text(&mut self, name: String, value: String) {
        self.0.push((name, Value::Text(value)));
    }

    pub(super) fn secret(&mut self, name: String, value: SecretSource) {
        self.0.push((name, Value::Secret(value)));
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(it, _)| it == name)
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        for (name, value) in &self.0 {
            let why = match name.as_str() {
                "" => "its name is empty".to_owned(),
                "scope" => "`scope` is set by TokenProviderBuilder::scopes; use that".to_owned(),
                "client_id" | "client_secret" | "client_assertion" | "client_assertion_type" => {
                    format!(
                        "`{name}` belongs to the client authentication; use OAuth2Builder::client_auth"
                    )
                }
                name if RESERVED.contains(&name) => {
                    format!("`{name}` is set by the grant; remove it")
                }
                name => {
                    if let Value::Secret(source) = value {
                        source.validate(&format!("the parameter `{name}`"))?;
                    }
                    continue;
                }
            };
            let text = format!("a parameter of the token request is invalid: {why}");
            return Err(Error::own(ErrorKind::Config, text));
        }
        Ok(())
    }

    pub(super) fn secrets(&self) -> impl Iterator<Item = &SecretSource> {
        self.0.iter().filter_map(|(_, value)| match value {
            Value::Text(_) => None,
            Value::Secret(source) => Some(source),
        })
    }

    pub(super) async fn add_to(&self, form: &mut Form) -> Result<(), Error> {
        for (name, value) in &self.0 {
            match value {
                Value::Text(text) => form.text(name, text.as_str()),
                Value::Secret(source) => form.secret(name, source.read().await?),
            }
        }
        Ok(())
    }
}
