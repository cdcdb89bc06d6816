//! Runs a scenario under the schedulers, and says how many interleavings that were.

use std::collections::BTreeSet;
use std::env;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::unobserved::Mutex;

use shuttle::scheduler::{
    DfsScheduler, PctScheduler, RandomScheduler, ReplayScheduler, Schedule, Scheduler, Task, TaskId,
};
use shuttle::{Config, MaxSteps, Runner};

use crate::issuer;

/// The depth of the PCT scheduler: it finds whatever takes that many tasks' steps in a certain
/// order.
const DEPTH: usize = 3;
/// The same schedules in every run, unless the environment sets `SHUTTLE_RANDOM_SEED`.
const SEED: u64 = 1;
/// So many times as many interleavings, where all of a kind are tried.
const MOST: usize = 100;

/// Runs it in as many interleavings as the environment says, chosen at random and by PCT; and in
/// all that are but one step out of order.
pub(crate) fn check<S, F>(scenario: S)
where
    S: Fn() -> F + Copy + Send + Sync + 'static,
    F: Future<Output = ()>,
{
    let times = iterations();
    run(
        scenario,
        "random",
        RandomScheduler::new_from_seed(SEED, times),
    );
    run(
        scenario,
        "pct",
        PctScheduler::new_from_seed(SEED, DEPTH, times),
    );
    check_all(1, scenario);
}

/// Runs it in all interleavings in which not more than so often another task runs than the next one
/// in order: each runs as long as it can, and the next one follows.
pub(crate) fn check_all<S, F>(bound: usize, scenario: S)
where
    S: Fn() -> F + Copy + Send + Sync + 'static,
    F: Future<Output = ()>,
{
    let most = MOST * iterations();
    let scheduler = Bounded {
        scheduler: DfsScheduler::new(Some(most), true),
        bound,
        left: bound,
    };
    if run(scenario, &format!("all within {bound}"), scheduler) == most {
        eprintln!("    there are more than that");
    }
}

fn iterations() -> usize {
    env::var("MODEL_ITERATIONS").map_or(2_000, |times| {
        times.parse().expect("MODEL_ITERATIONS is no number")
    })
}

/// Runs it by this scheduler, or by the one schedule that the environment holds. Returns how often
/// it ran.
fn run<S, F>(scenario: S, how: &str, scheduler: impl Scheduler + 'static) -> usize
where
    S: Fn() -> F + Copy + Send + Sync + 'static,
    F: Future<Output = ()>,
{
    match env::var("MODEL_REPLAY") {
        Ok(schedule) => {
            let schedule: String = schedule.split_whitespace().collect();
            run_by(
                scenario,
                "replay",
                ReplayScheduler::new_from_encoded(&schedule),
            )
        }
        Err(_) => run_by(scenario, how, scheduler),
    }
}

fn run_by<S, F>(scenario: S, how: &str, scheduler: impl Scheduler + 'static) -> usize
where
    S: Fn() -> F + Copy + Send + Sync + 'static,
    F: Future<Output = ()>,
{
    let mut config = Config::new();
    config.stack_size = 0x4_0000;
    config.max_steps = MaxSteps::FailAfter(100_000);
    config.silence_warnings = true;
    let figures = Arc::new(Mutex::new(Figures::default()));
    let scheduler = Counting {
        scheduler,
        execution: Execution::default(),
        figures: Arc::clone(&figures),
    };
    let executions = Runner::new(scheduler, config).run(move || {
        tokio::reset();
        shuttle::future::block_on(async {
            scenario().await;
            issuer::assert_content();
            // shuttle must find nobody amid something when it takes an execution down.
            tokio::runtime::end();
            tokio::runtime::all_ended().await;
        });
    });
    let figures = figures.lock().expect("nobody panicked");
    eprintln!(
        "{}, {how}: {executions} executions, {} different interleavings, {} switches at most",
        name_of::<S>(),
        figures.different.len(),
        figures.most_switches,
    );
    executions
}

/// The name of the test whose scenario this is.
fn name_of<S>() -> &'static str {
    let mut path = std::any::type_name::<S>().rsplit("::");
    path.find(|part| !part.starts_with('{')).unwrap_or_default()
}

#[derive(Debug, Default)]
struct Figures {
    different: BTreeSet<u64>,
    most_switches: usize,
}

/// Lets another scheduler choose out of order so often, and not again in the same execution.
#[derive(Debug)]
struct Bounded<S> {
    scheduler: S,
    bound: usize,
    left: usize,
}

impl<S: Scheduler> Scheduler for Bounded<S> {
    fn new_execution(&mut self) -> Option<Schedule> {
        self.left = self.bound;
        self.scheduler.new_execution()
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        let goes_on = |task: &&&Task| Some(task.id()) == current && !is_yielding;
        let follows = |task: &&&Task| Some(task.id()) > current;
        let in_order = runnable.iter().find(goes_on);
        let in_order = in_order.or_else(|| runnable.iter().find(follows));
        let in_order = in_order.or(runnable.first())?;
        let offered = if self.left == 0 {
            std::slice::from_ref(in_order)
        } else {
            runnable
        };
        let next = self.scheduler.next_task(offered, current, is_yielding)?;
        self.left -= usize::from(next != in_order.id());
        Some(next)
    }

    fn next_u64(&mut self) -> u64 {
        self.scheduler.next_u64()
    }
}

/// What was chosen in one execution, where there was a choice.
#[derive(Debug, Default)]
struct Execution {
    choices: DefaultHasher,
    switches: usize,
}

/// Counts what another scheduler has chosen.
#[derive(Debug)]
struct Counting<S> {
    scheduler: S,
    execution: Execution,
    figures: Arc<Mutex<Figures>>,
}

impl<S> Counting<S> {
    fn finish_execution(&mut self) {
        let Execution { choices, switches } = std::mem::take(&mut self.execution);
        if switches > 0 {
            let mut figures = self.figures.lock().expect("nobody panicked");
            figures.different.insert(choices.finish());
            figures.most_switches = figures.most_switches.max(switches);
        }
    }
}

impl<S: Scheduler> Scheduler for Counting<S> {
    fn new_execution(&mut self) -> Option<Schedule> {
        self.finish_execution();
        self.scheduler.new_execution()
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        let next = self.scheduler.next_task(runnable, current, is_yielding)?;
        if runnable.len() > 1 {
            usize::from(next).hash(&mut self.execution.choices);
        }
        self.execution.switches += usize::from(current != Some(next));
        Some(next)
    }

    fn next_u64(&mut self) -> u64 {
        let random = self.scheduler.next_u64();
        random.hash(&mut self.execution.choices);
        random
    }
}
