//! One row of the table, and its way from the process that measured it.

use crate::kinds::Kind;

#[derive(Debug, Default)]
pub(crate) struct Row {
    pub(crate) count: u64,
    pub(crate) heap_bytes: u64,
    pub(crate) resident_bytes: u64,
    /// Tasks that are there in the end. Each idle provider's has one timer.
    pub(crate) tasks: u64,
    pub(crate) cpu_nanos: u64,
    pub(crate) idle_wakes: u64,
    pub(crate) idle_cpu_nanos: u64,
}

impl Row {
    pub(crate) const HEADING: &str = "\
what         count   heap B   RSS B  tasks  CPU µs  in 35 s idle, all:     exponent of the total
                      each    each    all    each   wakes    CPU ms       heap    CPU   idle CPU";

    pub(crate) fn to_line(&self) -> String {
        let fields = [
            self.count,
            self.heap_bytes,
            self.resident_bytes,
            self.tasks,
            self.cpu_nanos,
            self.idle_wakes,
            self.idle_cpu_nanos,
        ];
        fields.map(|field| field.to_string()).join(" ")
    }

    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let mut fields = line.split_whitespace().map(str::parse);
        let mut next = || fields.next()?.ok();
        Some(Self {
            count: next()?,
            heap_bytes: next()?,
            resident_bytes: next()?,
            tasks: next()?,
            cpu_nanos: next()?,
            idle_wakes: next()?,
            idle_cpu_nanos: next()?,
        })
    }

    pub(crate) fn shown(&self, kind: Kind, above: Option<&Self>) -> String {
        let exponent = |of: fn(&Self) -> u64| match above {
            Some(above) if of(above) > 0 && of(self) > 0 => {
                let growth = ratio(of(self), of(above)).ln();
                format!("{:.2}", growth / ratio(self.count, above.count).ln())
            }
            _ => "-".to_owned(),
        };
        let idle = |text: String| if kind.idles() { text } else { "-".to_owned() };
        format!(
            "{:<11} {:>6} {:>8} {:>7} {:>6} {:>7.1} {:>7} {:>9} {:>10} {:>6} {:>10}",
            kind.name(),
            self.count,
            self.heap_bytes / self.count,
            self.resident_bytes / self.count,
            self.tasks,
            ratio(self.cpu_nanos, self.count) / 1_000.0,
            idle(self.idle_wakes.to_string()),
            idle(format!("{:.1}", ratio(self.idle_cpu_nanos, 1_000_000))),
            exponent(|row| row.heap_bytes),
            exponent(|row| row.cpu_nanos),
            idle(exponent(|row| row.idle_cpu_nanos)),
        )
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "nobody reads the sixteenth digit of a measurement"
)]
fn ratio(of: u64, to: u64) -> f64 {
    of as f64 / to as f64
}
