//! What the figures with a row for each rival have in common.

use super::axis::Axis;
use super::canvas::{Canvas, NORMAL, SMALL, Side, width_of};
use super::{Drawn, GRID, INK, OURS, SOFT_INK, is_ours};

/// Room above the rows, for the title and a legend.
pub(super) const ABOVE: i32 = 84;
/// Room below them, for the axis and the source.
const BELOW: i32 = 84;

pub(super) struct Rows<'a> {
    pub(super) names: Vec<&'a str>,
    pub(super) height: i32,
}

impl Rows<'_> {
    /// Where the names end and the axis begins.
    pub(super) fn left(&self) -> i32 {
        let widths = self.names.iter().map(|name| width_of(name, NORMAL));
        widths.max().unwrap_or(0) + 28
    }

    pub(super) fn bottom(&self) -> i32 {
        self.middles()
            .last()
            .map_or(ABOVE, |(_, y)| y + self.height / 2)
    }

    pub(super) fn sheet(&self) -> i32 {
        self.bottom() + BELOW
    }

    /// Each name with the middle of its row.
    pub(super) fn middles(&self) -> impl Iterator<Item = (&str, i32)> {
        let places = (ABOVE + self.height / 2..).step_by(self.height.unsigned_abs() as usize);
        self.names.iter().copied().zip(places)
    }

    /// The names, and the axis with its lines.
    pub(super) fn frame(
        &self,
        canvas: &Canvas<'_>,
        axis: &Axis,
        mark: fn(f64) -> String,
        title: &str,
        right: i32,
    ) -> Drawn {
        let (left, bottom) = (self.left(), self.bottom());
        for value in axis.marks() {
            let x = axis.at(value);
            canvas.vertical(x, ABOVE, bottom + 5, GRID)?;
            canvas.text(&mark(value), (x, bottom + 15), Side::Middle, SMALL, INK)?;
        }
        canvas.horizontal(bottom, left, right, SOFT_INK)?;
        let middle = i32::midpoint(left, right);
        canvas.text(title, (middle, bottom + 38), Side::Middle, NORMAL, SOFT_INK)?;
        for (name, y) in self.middles() {
            if is_ours(name) {
                canvas.bold(name, (left - 10, y), Side::Left, OURS)?;
            } else {
                canvas.text(name, (left - 10, y), Side::Left, NORMAL, INK)?;
            }
        }
        Ok(())
    }
}
