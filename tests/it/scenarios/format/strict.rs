//! Refuses what a JSON parser lets pass: a field that is written twice, of which the last one would
//! count; null, which would count as a field that is left out; and a list in the place of an object,
//! whose items would count as the object's fields. Claims may hold any JSON.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Looks through a whole timeline. An error names the place in it.
pub(super) fn check(text: &str) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Place::default().deserialize(&mut deserializer)
}

/// Where a value stands: in which step, if it is in one, and in which fields.
#[derive(Clone, Default)]
struct Place {
    step: Option<usize>,
    fields: String,
}

/// The fields that hold a list, or may hold one.
const LISTS: &[&str] = &[
    "shows",
    "steps",
    "exchanges",
    "revocations",
    "scopes",
    "asked",
    "exchanged",
    "revoked",
    "not_revoked",
    "failures",
    "usable_for",
    "next_exchange_in",
];

impl Place {
    fn is_in_claims(&self) -> bool {
        self.fields.contains(".stated.claims.")
    }

    fn takes_a_list(&self) -> bool {
        let field = self.fields.rsplit('.').next().unwrap_or_default();
        let is_a_policy = self.fields == "given.scopes";
        (LISTS.contains(&field) && !is_a_policy)
            || field.starts_with("asked[")
            || self.is_in_claims()
    }

    fn field(&self, name: &str) -> Self {
        let mut inner = self.clone();
        if !inner.fields.is_empty() {
            inner.fields += ".";
        }
        inner.fields += name;
        inner
    }

    fn item(&self, index: usize) -> Self {
        if self.step.is_none() && self.fields == "steps" {
            return Self {
                step: Some(index + 1),
                fields: String::new(),
            };
        }
        Self {
            step: self.step,
            fields: format!("{}[{index}]", self.fields),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.step, self.fields.as_str()) {
            (None, "") => f.write_str("the timeline"),
            (None, fields) => f.write_str(fields),
            (Some(step), "") => write!(f, "step {step}"),
            (Some(step), fields) => write!(f, "step {step}, {fields}"),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Place {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        if self.is_in_claims() {
            return Ok(());
        }
        Err(E::custom(format!("{self}: null has no meaning here")))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if !self.takes_a_list() {
            let problem = format!("{self}: a list has no meaning here");
            return Err(A::Error::custom(problem));
        }
        let mut index = 0;
        while items.next_element_seed(self.item(index))?.is_some() {
            index += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = fields.next_key::<String>()? {
            fields.next_value_seed(self.field(&name))?;
            if let Some(twice) = names.replace(name) {
                let problem = format!("{self}: `{twice}` is written twice");
                return Err(A::Error::custom(problem));
            }
        }
        Ok(())
    }
}
