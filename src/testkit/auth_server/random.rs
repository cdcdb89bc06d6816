//! IDs, secrets and codes that nobody can guess.

use std::fmt::Write as _;

use ring::error::Unspecified;
use ring::hmac;
use ring::rand::SystemRandom;

/// Asks the system for randomness once, so that drawing afterwards cannot fail.
pub(super) struct Unguessable {
    key: hmac::Key,
    drawn: u64,
}

impl Unguessable {
    pub(super) fn new() -> Result<Self, Unspecified> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())?;
        Ok(Self { key, drawn: 0 })
    }

    /// Up to 64 hexadecimal digits.
    pub(super) fn hex(&mut self, digits: usize) -> String {
        let mut text = String::with_capacity(64);
        for byte in self.draw().as_ref() {
            let _ = write!(text, "{byte:02x}");
        }
        text.truncate(digits);
        text
    }

    pub(super) fn six_digits(&mut self) -> String {
        let number = self
            .draw()
            .as_ref()
            .iter()
            .take(8)
            .fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        format!("{:06}", number % 1_000_000)
    }

    fn draw(&mut self) -> hmac::Tag {
        self.drawn += 1;
        hmac::sign(&self.key, &self.drawn.to_be_bytes())
    }
}
