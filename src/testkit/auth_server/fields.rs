//! Request bodies, read strictly: what the contract does not know is refused by name, and no
//! message ever repeats a value, since values may be secrets.

use serde_json::{Map, Value};

use super::refusal::Refusal;

pub(super) struct Fields {
    unread: Map<String, Value>,
}

impl Fields {
    pub(super) fn none() -> Self {
        Self { unread: Map::new() }
    }

    pub(super) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(unread)) => Ok(Self { unread }),
            Ok(_) => Err(Refusal::invalid_request("The body is no JSON object.")),
            Err(_) => Err(Refusal::invalid_request("The body is no JSON.")),
        }
    }

    pub(super) fn required_text(&mut self, name: &str) -> Result<String, Refusal> {
        self.text(name)?
            .ok_or_else(|| Refusal::invalid_request(format!("`{name}` is required.")))
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        match self.unread.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong_type(name, "a string")),
        }
    }

    pub(super) fn texts(&mut self, name: &str) -> Result<Option<Vec<String>>, Refusal> {
        let wrong_type = || wrong_type(name, "an array of strings");
        match self.unread.remove(name) {
            None => Ok(None),
            Some(Value::Array(values)) => values
                .into_iter()
                .map(|value| match value {
                    Value::String(text) => Ok(text),
                    _ => Err(wrong_type()),
                })
                .collect::<Result<_, _>>()
                .map(Some),
            Some(_) => Err(wrong_type()),
        }
    }

    pub(super) fn integer(&mut self, name: &str) -> Result<Option<i64>, Refusal> {
        match self.unread.remove(name) {
            None => Ok(None),
            Some(value) => value
                .as_i64()
                .map(Some)
                .ok_or_else(|| wrong_type(name, "an integer")),
        }
    }

    pub(super) fn finish(self) -> Result<(), Refusal> {
        match self.unread.keys().next() {
            None => Ok(()),
            Some(name) => Err(Refusal::invalid_request(format!(
                "`{name}` is no field of this request."
            ))),
        }
    }
}

fn wrong_type(name: &str, expected: &str) -> Refusal {
    Refusal::invalid_request(format!("`{name}` must be {expected}."))
}
