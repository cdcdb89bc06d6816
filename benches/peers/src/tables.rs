//! The report as tables to read.

use crate::report::{Report, Spread};
use crate::rival::Rival as _;
use crate::rivals::everbearer::Everbearer;
use crate::rivals::static_header::StaticHeader;

pub(crate) fn print(report: &Report) {
    machine(report);
    hot_path(report);
    scaling(report);
    many_tasks(report);
    layer(report);
    idle(report);
    stampede(report);
    paced(report);
    not_driven(report);
}

fn machine(report: &Report) {
    let machine = &report.machine;
    println!("{}, {} cores", machine.processor, machine.cores);
    println!("{}; {}; {}", machine.kernel, machine.rustc, machine.date);
    let crates = machine.crates.iter();
    let crates: Vec<String> = crates.map(|(name, at)| format!("{name} {at}")).collect();
    for line in crates.chunks(5) {
        println!("  {}", line.join("; "));
    }
    println!(
        "Medians of {} rounds (paced: {}), with least to most.",
        machine.rounds, machine.paced_rounds
    );
}

fn hot_path(report: &Report) {
    let median = |name| {
        let mut found = report.hot_path.iter();
        found.find(|it| it.rival == name).map(|it| it.nanos.median)
    };
    let (least, ours) = (median(StaticHeader::NAME), median(Everbearer::NAME));
    let rows = report.hot_path.iter().map(|it| {
        vec![
            it.rival.clone(),
            spread(it.nanos, 1),
            ratio(it.nanos.median, least),
            ratio(it.nanos.median, ours),
            format!("{:.2}", it.allocations),
        ]
    });
    table(
        "Hot path: one thread, a good token in the cache",
        &["", "ns", "to static", "to everbearer", "allocations"],
        rows,
    );
}

fn scaling(report: &Report) {
    let mut threads: Vec<usize> = report.scaling.iter().map(|it| it.threads).collect();
    threads.sort_unstable();
    threads.dedup();
    let of = |rival: &str, threads| {
        let mut found = report.scaling.iter();
        found.find(|it| it.rival == rival && it.threads == threads)
    };
    let first = threads.first().copied().unwrap_or_default();
    let rivals = report.scaling.iter().filter(|it| it.threads == first);
    let rows = rivals.map(|it| {
        let mut row = vec![it.rival.clone()];
        for &threads in &threads {
            row.push(of(&it.rival, threads).map_or(String::new(), |it| spread(it.nanos, 1)));
        }
        let two = of(&it.rival, 2).map_or(f64::NAN, |it| it.nanos.median);
        row.push(ratio(two, Some(it.nanos.median)));
        row.push(ratio(
            two,
            of(Everbearer::NAME, 2).map(|it| it.nanos.median),
        ));
        row
    });
    let mut head = vec![String::new()];
    head.extend(
        threads
            .iter()
            .map(|threads| format!("{threads} threads, ns")),
    );
    head.push("2 to 1".to_owned());
    head.push("2, to everbearer".to_owned());
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    table(
        "Scaling: time on a core for each operation, several threads at once",
        &head,
        rows,
    );
}

fn many_tasks(report: &Report) {
    let mut found = report.many_tasks.iter();
    let ours = found.find(|it| it.rival == Everbearer::NAME);
    let ours = ours.map(|it| it.millions_a_second.median);
    let rows = report.many_tasks.iter().map(|it| {
        vec![
            it.rival.clone(),
            spread(it.millions_a_second, 2),
            ratio(it.millions_a_second.median, ours),
        ]
    });
    table(
        "Many tasks: 64 tasks on two workers",
        &["", "millions a second", "to everbearer"],
        rows,
    );
}

fn layer(report: &Report) {
    let rows = report.layer.iter().map(|it| {
        vec![
            it.layer.clone(),
            spread(it.nanos, 0),
            spread(it.above_no_op, 0),
        ]
    });
    table(
        "Layer: one request through a reqwest-middleware chain without a network",
        &["", "ns", "above the no-op layer"],
        rows,
    );
}

fn idle(report: &Report) {
    let rows = report.idle.iter().map(|it| {
        vec![
            format!("{} providers", it.providers),
            spread(it.bytes_each, 0),
            spread(it.cpu_micros_each, 3),
        ]
    });
    table(
        "Idle: everbearer's providers that nobody asks",
        &["", "bytes each", "CPU µs a second each"],
        rows,
    );
}

fn stampede(report: &Report) {
    let rows = report.stampede.iter().map(|it| {
        vec![
            it.rival.clone(),
            spread(it.exchanges, 0),
            spread(it.refused, 0),
            spread(it.last_millis, 1),
            spread(it.cpu_millis, 1),
            spread(it.peak_megabytes, 1),
        ]
    });
    table(
        "Stampede: 10,000 callers, nothing cached, an exchange of 20 ms",
        &[
            "",
            "exchanges",
            "refused",
            "last, ms",
            "CPU, ms",
            "peak, MB",
        ],
        rows,
    );
}

fn paced(report: &Report) {
    let rows = report.paced.iter().map(|it| {
        vec![
            it.rival.clone(),
            format!("{}", it.life_millis / 1e3),
            spread(it.exchanges, 0),
            spread(it.p50_micros, 1),
            spread(it.p99_micros, 1),
            spread(it.p999_micros, 0),
            spread(it.max_micros, 0),
            format!("{:.3}", it.waited_percent.median),
            format!("{:.3}", it.refused_percent.median),
        ]
    });
    table(
        "Paced: 64 callers, a call each millisecond, exchanges of 20 ms",
        &[
            "",
            "life, s",
            "exchanges",
            "p50, µs",
            "p99, µs",
            "p99.9, µs",
            "max, µs",
            "> 5 ms, %",
            "refused, %",
        ],
        rows,
    );
}

fn not_driven(report: &Report) {
    if report.not_driven.is_empty() {
        return;
    }
    println!("\nLeft out");
    for same in report
        .not_driven
        .chunk_by(|one, next| one.reason == next.reason)
    {
        let rivals: Vec<&str> = same.iter().map(|it| it.rival.as_str()).collect();
        println!("  {}: {}", rivals.join(", "), same[0].reason);
    }
}

fn spread(it: Spread, digits: usize) -> String {
    let Spread {
        median,
        least,
        most,
    } = it;
    if least == most {
        return format!("{median:.digits$}");
    }
    format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
}

fn ratio(value: f64, to: Option<f64>) -> String {
    to.map_or(String::new(), |to| format!("{:.2}×", value / to))
}

fn table(title: &str, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let mut lines = vec![head];
    lines.extend(rows);
    let columns = lines[0].len();
    let width = |column: usize| {
        let cells = lines.iter().map(|line| line[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    println!("\n{title}");
    for line in &lines {
        let mut text = String::from(" ");
        for (column, cell) in line.iter().enumerate() {
            let width = widths[column];
            text += &match column {
                0 => format!(" {cell:<width$}"),
                _ => format!("  {cell:>width$}"),
            };
        }
        println!("{}", text.trim_end());
    }
}
