//! A logarithmic axis, in pixels.

pub(super) struct Axis {
    least: f64,
    most: f64,
    start: i32,
    end: i32,
}

impl Axis {
    /// An axis from `start` to `end` that has room for all values.
    pub(super) fn around(values: impl Iterator<Item = f64>, start: i32, end: i32) -> Self {
        let (least, most) = values
            .filter(|value| *value > 0.0 && value.is_finite())
            .fold((f64::INFINITY, 0.0_f64), |(least, most), value| {
                (least.min(value), most.max(value))
            });
        let (least, most) = if most > 0.0 {
            (least, most)
        } else {
            (1.0, 1.0)
        };
        let below = round_steps().rfind(|step| *step <= least * 0.9);
        let above = round_steps().find(|step| *step >= most * 1.05);
        Self {
            least: below.unwrap_or(least),
            most: above.unwrap_or(most),
            start,
            end,
        }
    }

    /// The same with its start at a power of ten, and so low that the least bar is to be seen.
    pub(super) fn for_bars(values: impl Iterator<Item = f64>, start: i32, end: i32) -> Self {
        let axis = Self::around(values, start, end);
        let least = 10_f64.powf((axis.least * 0.6).log10().floor());
        Self { least, ..axis }
    }

    /// Where a value lies; what is below the axis lies at its start.
    pub(super) fn at(&self, value: f64) -> i32 {
        let part = (value.max(self.least) / self.least).ln() / (self.most / self.least).ln();
        self.start + whole(part * f64::from(self.end - self.start))
    }

    /// Round values: 1, 2 and 5 of each decade where there is room, otherwise fewer.
    pub(super) fn marks(&self) -> Vec<f64> {
        let length = f64::from((self.end - self.start).abs());
        let decade = length / (self.most / self.least).log10();
        let side_by_side = self.start < self.end;
        let wide = decade >= if side_by_side { 180.0 } else { 80.0 };
        let narrow = side_by_side && decade < 66.0;
        round_steps()
            .filter(|step| *step > self.least * 0.99 && *step < self.most * 1.01)
            .filter(|step| {
                let power = step.log10();
                let (whole, even) = (is_whole(power), is_whole(power / 2.0));
                wide || if narrow { even } else { whole }
            })
            .collect()
    }
}

fn is_whole(value: f64) -> bool {
    (value - value.round()).abs() < 1e-9
}

/// 1, 2 and 5 of each decade.
fn round_steps() -> impl DoubleEndedIterator<Item = f64> {
    (-6..12).flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(power)))
}

#[expect(clippy::cast_possible_truncation, reason = "a few hundred pixels")]
pub(super) fn whole(pixels: f64) -> i32 {
    pixels.round() as i32
}
