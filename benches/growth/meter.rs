//! Bytes and CPU of this process.

use std::fs;

use tokio::runtime::Runtime;

use crate::row::Row;

/// What the process had before.
pub(crate) struct Meter {
    resident: u64,
    cpu_nanos: u64,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Self {
            resident: resident(),
            cpu_nanos: cpu_nanos(),
        }
    }

    pub(crate) fn cpu_nanos_used(&self) -> u64 {
        cpu_nanos() - self.cpu_nanos
    }

    pub(crate) fn row(&self, runtime: &Runtime, count: usize, heap_bytes: u64) -> Row {
        let cpu_nanos = self.cpu_nanos_used();
        Row {
            count: number(count),
            heap_bytes,
            resident_bytes: resident().saturating_sub(self.resident),
            tasks: number(runtime.metrics().num_alive_tasks()),
            cpu_nanos,
            ..Row::default()
        }
    }
}

/// What is made, and the bytes on the heap that are held by it or because of it.
pub(crate) fn heap<T>(make: impl FnOnce() -> T) -> (T, u64) {
    let mut held = None;
    let allocated = allocation_counter::measure(|| held = Some(make()));
    let bytes = u64::try_from(allocated.bytes_current).unwrap_or(0);
    (held.unwrap(), bytes)
}

#[cfg(unix)]
fn cpu_nanos() -> u64 {
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    let time = Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap();
    u64::try_from(time.as_nanos()).unwrap()
}

#[cfg(not(unix))]
fn cpu_nanos() -> u64 {
    0
}

/// On Linux; nothing elsewhere.
fn resident() -> u64 {
    const KIB: u64 = 1_024;

    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * KIB
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
