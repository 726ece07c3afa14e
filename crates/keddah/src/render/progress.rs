//! What is going on: a bar on a terminal, lines elsewhere. What was done at once and noticed by
//! nobody is only counted, unless all shall be shown.

use crate::render::Output;
use crate::render::theme::{Meaning, Theme};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use keddah_plan::{Event, Plan};
use keddah_resource::{Class, Kind, ResourceId};
use std::io::Write;
use std::time::Duration;
use tokio::time::Instant;

/// Running changes that a line names; more would not fit.
const NAMED: usize = 3;

/// A change that took as long as this has a line of its own.
const NOTABLE_MILLISECONDS: u64 = 1000;

/// Without a terminal, a line says after so long a silence what still runs.
const SILENCE: Duration = Duration::from_secs(15);

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
    /// How many changes wait for a place.
    queued: usize,
    total: usize,
    done: usize,
    said: usize,
    all: bool,
    spoke: Instant,
}

impl Progress {
    /// Begins; with `all`, every change has its line.
    pub fn start(output: &Output, plan: &Plan, all: bool) -> Self {
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
        let (running, spoke) = (Vec::new(), Instant::now());
        Self { theme: output.stderr, bar, running, queued: 0, total, done: 0, said: 0, all, spoke }
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
            Event::Queued { count } => self.queued = *count,
            Event::AwaitingServices => {
                if let Some(bar) = &self.bar {
                    bar.set_message("waiting for the services to answer");
                }
            }
            Event::NodeLost { .. }
            | Event::ServiceIdle { .. }
            | Event::ServicesUnseen { .. }
            | Event::Stopping { .. } => {}
        }
        if let Some(line) = line(event, self.theme).filter(|_| self.all || notable(event)) {
            self.say(&line);
        }
        self.tick();
    }

    fn say(&mut self, line: &str) {
        let line = format!("[{}/{}] {line}", self.done, self.total);
        self.spoke = Instant::now();
        self.said = self.done;
        match &self.bar {
            Some(bar) => bar.println(line),
            None => {
                let _ = writeln!(std::io::stderr(), "{line}");
            }
        }
    }

    /// Draws the elapsed time anew; without a terminal, breaks a long silence.
    pub fn tick(&mut self) {
        if self.bar.is_none() && (self.running.is_empty() || self.spoke.elapsed() < SILENCE) {
            return;
        }
        let names = at_work(&self.running, self.queued);
        let Some(bar) = &self.bar else {
            self.say(&format!("still at {names}"));
            return;
        };
        bar.set_position(self.done as u64);
        bar.set_message(names);
        bar.tick();
    }

    /// Ends; what was drawn over goes away. What went by in silence since the last line is counted in one.
    pub fn finish(mut self) {
        if self.bar.is_none() && self.said < self.done && self.done == self.total {
            self.say("no change is left");
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The changes that run, and how many would if there were a place for them.
fn at_work(running: &[ResourceId], queued: usize) -> String {
    let mut names: Vec<String> = running.iter().take(NAMED).map(ToString::to_string).collect();
    if running.len() > NAMED {
        names.push(format!("and {} more", running.len() - NAMED));
    }
    let mut text = names.join(", ");
    if queued > 0 {
        let wait = if queued == 1 { "waits" } else { "wait" };
        text.push_str(&format!("; {queued} {wait} for a free place"));
    }
    text
}

/// Whether somebody may want to know of an event while others go by.
fn notable(event: &Event) -> bool {
    match event {
        Event::ChangeFinished { changed: Some(class), milliseconds, .. } => {
            *class != Class::InPlace || *milliseconds >= NOTABLE_MILLISECONDS
        }
        Event::ChangeFinished { changed: None, .. }
        | Event::ChangeStarted { .. }
        | Event::ChangeSkipped { .. }
        | Event::Queued { .. }
        | Event::AwaitingServices
        | Event::ServiceIdle { .. }
        | Event::ServicesUnseen { .. } => false,
        Event::ChangeFailed { .. } | Event::NodeLost { .. } | Event::Stopping { .. } => true,
    }
}

/// The line of an event, if it has one at all.
fn line(event: &Event, theme: Theme) -> Option<String> {
    Some(match event {
        // What is skipped is counted by cause in the report; a line for each would hide the cause.
        Event::ChangeStarted { .. }
        | Event::ChangeSkipped { .. }
        | Event::Queued { .. }
        | Event::AwaitingServices
        | Event::ServiceIdle { .. }
        | Event::ServicesUnseen { .. } => return None,
        Event::ChangeFinished { id, changed: Some(class), milliseconds } => {
            let class = match class {
                Class::InPlace => String::new(),
                // It asks for restarts, which are changes of their own.
                class if *class < Class::Stop && id.kind == Kind::PatroniConfig => String::new(),
                class => format!("{class} "),
            };
            format!("{} {class}{id} {}", theme.paint(Meaning::Good, "done"), seconds(*milliseconds))
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

#[cfg(test)]
mod tests {
    use super::*;
    use keddah_core::NodeName;
    use keddah_plan::Failure;

    #[test]
    fn what_waits_for_a_place_is_counted() {
        let unit = |name: &str| ResourceId::new(&NodeName::new("10.10.10.11"), Kind::Unit, name);
        let running = [unit("a"), unit("b"), unit("c"), unit("d"), unit("e")];
        assert_eq!(at_work(&running[..1], 0), "10.10.10.11 unit a");
        assert_eq!(
            at_work(&running, 37),
            "10.10.10.11 unit a, 10.10.10.11 unit b, 10.10.10.11 unit c, and 2 more; 37 wait for a free place"
        );
    }

    #[test]
    fn what_nobody_notices_goes_by_in_silence() {
        let id = ResourceId::new(&NodeName::new("10.10.10.11"), Kind::Unit, "haproxy.service");
        let done =
            |changed, milliseconds| Event::ChangeFinished { id: id.clone(), changed, milliseconds };
        assert!(!notable(&done(Some(Class::InPlace), 12)));
        assert!(!notable(&done(None, 5000)));
        assert!(notable(&done(Some(Class::InPlace), 5000)));
        assert!(notable(&done(Some(Class::Restart), 12)));
        let failure = Failure::new("it did not start");
        assert!(notable(&Event::ChangeFailed { id: id.clone(), failure, milliseconds: 1 }));
        assert_eq!(
            line(&done(Some(Class::Reload), 120), Theme::new(false)).as_deref(),
            Some("done reload 10.10.10.11 unit haproxy.service (0.1 s)")
        );
    }
}
