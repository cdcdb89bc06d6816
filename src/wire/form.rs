//! Forms: the bodies of OAuth requests (RFC 6749, appendix B).

use form_urlencoded::byte_serialize;
use http::HeaderValue;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// The fields of a form, in order.
#[derive(Default)]
pub(crate) struct Form {
    fields: Vec<Field>,
    /// The secrets among the values, as they are and as they are sent.
    secrets: Vec<Secret>,
}

struct Field {
    name: String,
    value: Secret,
}

impl Form {
    pub(crate) const TYPE: HeaderValue =
        HeaderValue::from_static("application/x-www-form-urlencoded");

    pub(crate) fn text(&mut self, name: &str, value: impl Into<Secret>) {
        let (name, value) = (name.to_owned(), value.into());
        self.fields.push(Field { name, value });
    }

    /// Adds a field whose value errors must not repeat.
    pub(crate) fn secret(&mut self, name: &str, value: impl Into<Secret>) {
        let value = value.into();
        let encoded = form_encoded(&value);
        if encoded.expose() != value.expose() {
            self.secrets.push(encoded);
        }
        self.secrets.push(value.clone());
        self.text(name, value);
    }

    pub(crate) fn secrets(&self) -> &[Secret] {
        &self.secrets
    }

    pub(super) fn encoded(&self) -> Zeroizing<Vec<u8>> {
        // Long enough, since a buffer that grows leaves its old text in memory.
        let longest = |field: &Field| 3 * (field.name.len() + field.value.expose().len()) + 2;
        let longest = self.fields.iter().map(longest).sum();
        let mut body = Zeroizing::new(Vec::with_capacity(longest));
        for Field { name, value } in &self.fields {
            if !body.is_empty() {
                body.push(b'&');
            }
            let name = byte_serialize(name.as_bytes());
            let value = byte_serialize(value.expose().as_bytes());
            for part in name.chain(["="]).chain(value) {
                body.extend_from_slice(part.as_bytes());
            }
        }
        body
    }
}

/// Returns the text as `application/x-www-form-urlencoded` has it.
pub(crate) fn form_encoded(text: &Secret) -> Secret {
    let text = text.expose();
    let mut encoded = String::with_capacity(3 * text.len());
    encoded.extend(byte_serialize(text.as_bytes()));
    Secret::from(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o3_every_field_is_sent_in_order_and_encoded() {
        let mut form = Form::default();
        form.text("resource", "https://a.example.com/?x=1");
        form.text("resource", "b");
        form.secret("client_secret", "s+ %é&=");
        assert_eq!(
            form.encoded().as_slice(),
            b"resource=https%3A%2F%2Fa.example.com%2F%3Fx%3D1&resource=b&client_secret=s%2B+%25%C3%A9%26%3D"
        );
        let secrets: Vec<&str> = form.secrets().iter().map(Secret::expose).collect();
        assert_eq!(secrets, ["s%2B+%25%C3%A9%26%3D", "s+ %é&="]);
    }

    #[test]
    fn a_body_never_grows_while_it_is_made() {
        let mut form = Form::default();
        form.secret("assertion", "é".repeat(1_000));
        let longest = 3 * (9 + 2_000) + 2;
        assert_eq!(form.encoded().capacity(), longest);
    }
}
