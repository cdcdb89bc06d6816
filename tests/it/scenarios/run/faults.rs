//! What fails a timeline beside what its steps expect.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

/// What went wrong, and how often. A clone is another handle to the same list.
#[derive(Clone, Default)]
pub(super) struct Faults(Arc<Mutex<BTreeMap<String, usize>>>);

impl Faults {
    pub(super) fn add(&self, fault: String) {
        *self.0.lock().unwrap().entry(fault).or_default() += 1;
    }

    /// One line for each; empty if there is none.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (fault, times) in &*self.0.lock().unwrap() {
            match times {
                1 => writeln!(text, "  {fault}").unwrap(),
                _ => writeln!(text, "  {fault} ({times} times)").unwrap(),
            }
        }
        text
    }
}

/// The message of a panic.
pub(crate) fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without a message")
}
