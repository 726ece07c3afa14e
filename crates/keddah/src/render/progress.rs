//! What is going on: live on a terminal, one line per event elsewhere.

use crate::render::Output;
use crate::render::theme::{Meaning, Theme};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use keddah_plan::{Event, Plan};
use keddah_resource::ResourceId;
use std::io::Write;
use std::time::Duration;

/// Running changes that a line names; more would not fit.
const NAMED: usize = 3;

/// Something short that is being done; shown on a terminal only.
pub struct Spinner {
    bar: Option<ProgressBar>,
}

impl Spinner {
    /// Begins; ends when dropped.
    pub fn start(output: &Output, what: &str) -> Self {
        let bar = output.is_live().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_message(format!("{what} …"));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { bar }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The progress of a plan.
pub struct Progress {
    theme: Theme,
    bar: Option<ProgressBar>,
    running: Vec<ResourceId>,
    total: usize,
    done: usize,
}

impl Progress {
    /// Begins.
    pub fn start(output: &Output, plan: &Plan) -> Self {
        let total = plan.changes.len();
        let bar = output.is_live().then(|| {
            let bar =
                ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {wide_msg}");
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar
        });
        Self { theme: output.stderr, bar, running: Vec::new(), total, done: 0 }
    }

    /// Shows one event.
    pub fn show(&mut self, event: &Event) {
        match event {
            Event::ChangeStarted { id } => self.running.push(id.clone()),
            Event::ChangeFinished { id, .. }
            | Event::ChangeFailed { id, .. }
            | Event::ChangeSkipped { id, .. } => {
                self.running.retain(|running| running != id);
                self.done += 1;
            }
            Event::AwaitingServices => {
                if let Some(bar) = &self.bar {
                    bar.set_message("waiting for the services to answer");
                }
            }
            Event::NodeLost { .. } | Event::ServiceIdle { .. } | Event::Stopping { .. } => {}
        }
        if let Some(line) = line(event, self.theme) {
            let line = format!("[{}/{}] {line}", self.done, self.total);
            match &self.bar {
                Some(bar) => bar.println(line),
                None => {
                    let _ = writeln!(std::io::stderr(), "{line}");
                }
            }
        }
        self.tick();
    }

    /// Draws the elapsed time anew.
    pub fn tick(&mut self) {
        let Some(bar) = &self.bar else { return };
        let mut names: Vec<String> =
            self.running.iter().take(NAMED).map(ToString::to_string).collect();
        if self.running.len() > NAMED {
            names.push(format!("and {} more", self.running.len() - NAMED));
        }
        bar.set_position(self.done as u64);
        bar.set_message(names.join(", "));
        bar.tick();
    }

    /// Ends; what was drawn over goes away.
    pub fn finish(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The line of an event, if it deserves one.
fn line(event: &Event, theme: Theme) -> Option<String> {
    Some(match event {
        // What is skipped is counted by cause in the report; a line for each would hide the cause.
        Event::ChangeStarted { .. }
        | Event::ChangeSkipped { .. }
        | Event::AwaitingServices
        | Event::ServiceIdle { .. } => return None,
        Event::ChangeFinished { id, changed: Some(_), milliseconds } => {
            format!("{} {id} {}", theme.paint(Meaning::Good, "done"), seconds(*milliseconds))
        }
        Event::ChangeFinished { id, changed: None, .. } => {
            format!("{} {id} had nothing left to do", theme.paint(Meaning::Muted, "done"))
        }
        Event::ChangeFailed { id, failure, milliseconds } => format!(
            "{} {id} {}: {failure}",
            theme.paint(Meaning::Error, "failed"),
            seconds(*milliseconds)
        ),
        Event::NodeLost { node, failure } => {
            format!("{} {node}: {failure}", theme.paint(Meaning::Error, "lost"))
        }
        Event::Stopping { running } => format!(
            "{} finishing {running} running; Ctrl-C again ends at once",
            theme.paint(Meaning::Warning, "stopping:")
        ),
    })
}

fn seconds(milliseconds: u64) -> String {
    format!("({}.{} s)", milliseconds / 1000, milliseconds % 1000 / 100)
}
