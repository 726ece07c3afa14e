//! What the controller tells on the way, and what it asks, on a terminal or in a log.

use crate::error::CommandError;
use crate::render::diagnostic::{Problems, in_a_line};
use crate::render::progress::{Progress, Spinner};
use crate::render::theme::Meaning;
use crate::render::{Output, counted, plan};
use keddah_controller::{Approver, Error, Event, Question, Work};
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;

/// Between two looks at a clock that goes on while nothing happens.
const TICK: Duration = Duration::from_millis(100);

/// Shows events.
pub struct Watching {
    output: Output,
    all: bool,
    spinner: Mutex<Option<Spinner>>,
    progress: Arc<Mutex<Option<Progress>>>,
    ticking: Mutex<Option<AbortHandle>>,
}

impl Watching {
    /// Nothing has happened yet; with `all`, every change has its line.
    pub fn new(output: &Output, all: bool) -> Self {
        let output = output.clone();
        let (spinner, progress, ticking) = Default::default();
        Self { output, all, spinner, progress, ticking }
    }

    /// Shows one.
    pub fn show(&self, event: &Event<'_>) {
        match *event {
            Event::Unread { read, problem } => {
                self.output.error(&CommandError::user(in_a_line(read, problem)));
            }
            Event::Doubtful { read, problem } => self.output.warning(&in_a_line(read, problem)),
            Event::OtherWarnings { count, more } => {
                let more = if more { "more " } else { "" };
                let these = if count == 1 { "warning" } else { "warnings" };
                self.output.warning(&format!(
                    "the inventory has {count} {more}{these}; `keddah check` shows them"
                ));
            }
            Event::Began(work) => {
                let what = match work {
                    Work::Reaching { nodes } => format!("asking {}", counted(nodes, "node")),
                    Work::AskingFacts => "asking the nodes what they are".to_owned(),
                };
                *lock(&self.spinner) = Some(Spinner::start(&self.output, &what));
            }
            Event::Ended(_) => *lock(&self.spinner) = None,
            Event::Executing(plan) => {
                *lock(&self.progress) = Some(Progress::start(&self.output, plan, self.all));
                let progress = self.progress.clone();
                let ticking = tokio::spawn(async move {
                    let mut tick = tokio::time::interval(TICK);
                    loop {
                        tick.tick().await;
                        if let Some(progress) = lock(&progress).as_mut() {
                            progress.tick();
                        }
                    }
                });
                *lock(&self.ticking) = Some(ticking.abort_handle());
            }
            Event::Execution(event) => {
                if let Some(progress) = lock(&self.progress).as_mut() {
                    progress.show(event);
                }
            }
            Event::Executed => {
                if let Some(ticking) = lock(&self.ticking).take() {
                    ticking.abort();
                }
                if let Some(progress) = lock(&self.progress).take() {
                    progress.finish();
                }
            }
        }
    }
}

/// What is drawn is whole after each call, so that a panic elsewhere has spoilt nothing.
fn lock<T>(drawn: &Mutex<T>) -> MutexGuard<'_, T> {
    drawn.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks on the terminal.
pub struct Asking {
    output: Output,
}

impl Asking {
    /// Asks there.
    pub fn new(output: &Output) -> Self {
        Self { output: output.clone() }
    }
}

impl Approver for Asking {
    fn answer(&self, question: &Question<'_>) -> std::io::Result<String> {
        let output = &self.output;
        match question {
            Question::Lose { lost, names } => {
                let grave = output.stderr.paint(Meaning::Grave, "This would be lost for good:");
                let list: String = lost.iter().map(|one| format!("  {one}\n")).collect();
                output.status(&format!("\n{grave}\n{list}Type {names} to allow it: "));
            }
            Question::Name(name) => output.status(&format!("Type {name} to go ahead: ")),
            Question::Apply { changes, restarts } => {
                if !restarts.is_empty() {
                    let names = output.stderr.paint(Meaning::Grave, &restarts.join(", "));
                    output.status(&format!(
                        "PostgreSQL restarts: {names}. `--restart never` leaves that for later.\n"
                    ));
                }
                let these = match changes {
                    1 => "this change".to_owned(),
                    changes => format!("these {changes} changes"),
                };
                output.status(&format!("Apply {these}? [y/N] "));
            }
        }
        let _ = std::io::stderr().flush();
        let mut line = String::new();
        std::io::stdin().read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

/// Shows why a trip has ended before its end.
pub fn failed(output: &Output, error: Error) {
    let error = match error {
        Error::Problems(read) => {
            let problems = Problems::of(&read);
            if output.is_json() {
                output.data(&problems.json());
            } else {
                output.status(&problems.text(&output.stderr));
            }
            return;
        }
        Error::NotAsReviewed { reviewed, now } => plan::differs(&reviewed, &now),
        Error::NotApproved => CommandError::user("nothing was changed: you did not approve"),
        Error::NotBegun(error) => error.into(),
        Error::Other(error) => error,
    };
    output.error(&error);
}
