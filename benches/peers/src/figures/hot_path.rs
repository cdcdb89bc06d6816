//! What one request costs on one thread.

use std::path::Path;

use super::axis::Axis;
use super::canvas::{Canvas, SMALL, Side};
use super::rows::Rows;
use super::{Drawn, INK, WIDTH, colours, numbers, source};
use crate::report::{HotPath, Report};

const HALF_BAR: i32 = 9;
/// Where the longest bar ends; its label follows.
const RIGHT: i32 = WIDTH - 170;

pub(super) fn draw(report: &Report, path: &Path) -> Drawn {
    let mut entries: Vec<&HotPath> = report.hot_path.iter().collect();
    if entries.is_empty() {
        return Ok(());
    }
    entries.sort_by(|one, other| one.nanos.median.total_cmp(&other.nanos.median));

    let rows = Rows {
        names: entries.iter().map(|entry| entry.rival.as_str()).collect(),
        height: 27,
    };
    let canvas = Canvas::new(
        path,
        rows.sheet(),
        "What a request pays for its token",
        "One thread, a good token at hand: get its header and put it into a map of headers.",
        &source(&report.machine, report.machine.rounds),
    )?;

    let ends = entries
        .iter()
        .flat_map(|entry| [entry.nanos.least, entry.nanos.most]);
    let axis = Axis::for_bars(ends, rows.left(), RIGHT);
    let title = "nanoseconds per request (log scale)";
    rows.frame(&canvas, &axis, numbers::mark, title, RIGHT)?;

    for (entry, (rival, y)) in entries.iter().zip(rows.middles()) {
        let nanos = entry.nanos;
        let end = axis.at(nanos.median);
        let (colour, _) = colours(rival);
        canvas.rectangle((rows.left(), y - HALF_BAR), (end, y + HALF_BAR), colour)?;
        canvas.whisker(y, axis.at(nanos.least), axis.at(nanos.most))?;
        let after = end.max(axis.at(nanos.most)) + 8;
        canvas.text(&label(entry), (after, y), Side::Right, SMALL, INK)?;
    }
    canvas.finish()
}

fn label(entry: &HotPath) -> String {
    let allocations = numbers::count(entry.allocations);
    let plural = if allocations == "1" { "" } else { "s" };
    let nanos = numbers::short(entry.nanos.median);
    format!("{nanos} ns, {allocations} alloc{plural}")
}
