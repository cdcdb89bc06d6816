//! The report of a shutdown of many providers.

use std::fmt;

use crate::engine::ShutdownReport;

/// Lists the reports of the providers of a [`TokenProviders`](super::TokenProviders), by key.
///
/// # Examples
///
/// ```
/// # fn example(reports: everbearer::ShutdownReports<String>) {
/// if !reports.all_revoked() {
///     eprintln!("{reports}");
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShutdownReports<K> {
    /// The key and the report of each provider.
    pub reports: Vec<(K, ShutdownReport)>,
}

impl<K> ShutdownReports<K> {
    /// Returns whether [`ShutdownReport::all_revoked`] is true for each report.
    ///
    /// ```
    /// # fn example(reports: everbearer::ShutdownReports<String>) {
    /// assert!(reports.all_revoked());
    /// # }
    /// ```
    pub fn all_revoked(&self) -> bool {
        self.reports.iter().all(|(_, report)| report.all_revoked())
    }
}

/// Writes a line for the total, and the report of each provider for which
/// [`all_revoked`](ShutdownReport::all_revoked) returns false.
impl<K: fmt::Display> fmt::Display for ShutdownReports<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokens: usize = self.reports.iter().map(|(_, it)| it.tokens.len()).sum();
        let providers = self.reports.len();
        write!(
            f,
            "{providers} providers, {tokens} tokens, all tokens revoked: {}",
            self.all_revoked()
        )?;
        let incomplete = self.reports.iter().filter(|(_, it)| !it.all_revoked());
        for (key, report) in incomplete {
            write!(f, "\n{key}: {report}")?;
        }
        Ok(())
    }
}
