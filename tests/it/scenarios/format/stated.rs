//! What the server of a timeline states about a token.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::values::Span;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Stated {
    pub(crate) expires_in: Option<Span>,
    pub(crate) expires_at: Option<Date>,
    pub(crate) date: Option<Date>,
    pub(crate) claims: Option<Claims>,
}

/// "+15m", "-50m": before or after the moment of the answer.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Date {
    is_after: bool,
    distance: Duration,
}

/// The claims of a JWT, beside its `sub`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub(crate) struct Claims(Vec<(String, Claim)>);

#[derive(Clone, Debug)]
enum Claim {
    /// In seconds.
    Date(Date),
    Millis(Date),
    AsItStands(Value),
}

/// The furthest date, some 30,000 years away: a further one could overflow.
const FURTHEST: Duration = Duration::from_secs(1_000_000_000_000);

impl Stated {
    /// States that the token lives this long.
    pub(super) fn life(life: Span) -> Self {
        Self {
            expires_in: Some(life),
            ..Self::default()
        }
    }
}

impl TryFrom<String> for Date {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_after = text.starts_with('+');
        let distance = text.strip_prefix(['+', '-']).unwrap_or_default();
        match Span::try_from(distance.to_owned()) {
            Ok(Span(distance)) if distance <= FURTHEST => Ok(Self { is_after, distance }),
            _ => Err(format!(
                "{text:?} is not a date, such as \"+15m\" or \"-50m\""
            )),
        }
    }
}

impl Date {
    /// Returns this date in an answer at the time `now`.
    pub(crate) fn at(self, now: SystemTime) -> SystemTime {
        if self.is_after {
            now + self.distance
        } else {
            now - self.distance
        }
    }

    fn millis(self, now: SystemTime) -> i64 {
        let millis = |distance: Duration| i64::try_from(distance.as_millis()).unwrap();
        match self.at(now).duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => millis(after),
            Err(before) => -millis(before.duration()),
        }
    }

    fn seconds(self, now: SystemTime) -> Value {
        match self.millis(now) {
            millis if millis % 1_000 == 0 => Value::from(millis / 1_000),
            millis => Value::from(millis as f64 / 1_000.0),
        }
    }
}

impl TryFrom<Map<String, Value>> for Claims {
    type Error = String;

    fn try_from(claims: Map<String, Value>) -> Result<Self, String> {
        let claims = claims.into_iter().map(|(name, value)| {
            let claim = match name.as_str() {
                "iat" | "exp" | "nbf" => Claim::read(&name, value)?,
                "sub" => return Err("the claim `sub` is the token's name".to_owned()),
                _ => Claim::AsItStands(value),
            };
            Ok((name, claim))
        });
        claims.collect::<Result<_, _>>().map(Self)
    }
}

impl Claim {
    /// Reads the value of a claim that should be a date.
    fn read(name: &str, value: Value) -> Result<Self, String> {
        let date = |text: &str| Date::try_from(text.to_owned()).ok();
        if let Some(date) = value.as_str().and_then(date) {
            return Ok(Self::Date(date));
        }
        if value.is_string() || value.is_number() || value.is_null() {
            return Ok(Self::AsItStands(value));
        }
        let fields = value.as_object().filter(|fields| fields.len() == 1);
        let millis = fields.and_then(|fields| fields.get("millis")?.as_str());
        millis.and_then(date).map(Self::Millis).ok_or_else(|| {
            format!(
                "the claim `{name}` cannot be {value}; it is a date, {{\"millis\": date}}, \
                 a number, null or another text"
            )
        })
    }
}

impl Claims {
    /// Returns the JWT of this name with these claims in an answer at the time `now`.
    pub(crate) fn jwt(&self, name: &str, now: SystemTime) -> String {
        let mut claims = Map::new();
        claims.insert("sub".to_owned(), Value::from(name));
        for (claim, value) in &self.0 {
            let value = match value {
                Claim::Date(date) => date.seconds(now),
                Claim::Millis(date) => Value::from(date.millis(now)),
                Claim::AsItStands(value) => value.clone(),
            };
            claims.insert(claim.clone(), value);
        }
        let claims = Value::Object(claims).to_string();
        let header = BASE64.encode(r#"{"alg":"none"}"#);
        format!("{header}.{}.c2ln", BASE64.encode(claims))
    }
}
