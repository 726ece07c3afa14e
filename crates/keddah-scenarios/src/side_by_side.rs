//! Groups of scenarios side by side: each is this program again, with a sandbox and a directory of its own.

use crate::command;
use crate::failure::{Failure, Outcome};
use crate::sandbox;
use crate::scenarios::{GROUPS, Group, SCENARIOS};
use crate::{Options, Suite, runner};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a group came to, in its directory: written anew after each scenario.
const RESULT: &str = "result.json";

/// Longer than building both images takes on a slow machine.
const BUILDING: Duration = Duration::from_secs(1200);

/// What became of a group's scenarios.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Scenarios that passed.
    pub passed: Vec<String>,
    /// Scenarios that failed, or did not run because their group ended before.
    pub failed: Vec<String>,
    /// What was measured.
    pub figures: Vec<String>,
}

/// The processes of the groups that run.
#[derive(Default)]
struct Children {
    running: Mutex<BTreeSet<u32>>,
    interrupted: AtomicBool,
}

impl Children {
    fn add(&self, child: u32) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(child);
        // An interruption that came between starting it and this has not reached it.
        if self.interrupted.load(Ordering::Relaxed) {
            self.end_all();
        }
    }

    fn remove(&self, child: u32) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&child);
    }

    /// Tells all to end; each takes its nodes down.
    fn end_all(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
        for child in self.running.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if let Some(pid) = i32::try_from(*child).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::TERM);
            }
        }
    }
}

/// What all workers need.
struct Run<'a> {
    options: &'a Options,
    this: PathBuf,
    children: Arc<Children>,
    tallies: Mutex<Vec<Tally>>,
    output: Mutex<()>,
}

/// Runs all groups, prints what they say as each scenario ends, and ends with the summary of all.
pub fn run(options: &Options) -> ExitCode {
    let begun = Instant::now();
    match groups(options) {
        Ok(tally) => runner::summary(&tally, SCENARIOS.len(), begun.elapsed()),
        Err(failure) => {
            eprintln!("{}\n{}", failure.message, failure.evidence);
            ExitCode::from(2)
        }
    }
}

fn groups(options: &Options) -> Outcome<Tally> {
    let children = Arc::new(Children::default());
    let told = children.clone();
    runner::when_interrupted(move || {
        // The workers see their children end, take down what one may have left, and this process ends.
        told.end_all();
    });
    let images = format!("{}-images", options.sandbox);
    for image in ["bare", "warm"] {
        build_image(options, &images, options.suite, image)?;
    }
    let run = Run {
        options,
        this: std::env::current_exe()?,
        children,
        tallies: Mutex::default(),
        output: Mutex::default(),
    };
    std::thread::scope(|scope| {
        // The other release's is wanted late, by one group, and is built meanwhile: that group's `up` waits for it,
        // or builds it itself and says why that fails.
        scope.spawn(|| {
            let name = sandbox::beside(&images);
            let _ = build_image(options, &name, options.suite.other(), "warm");
        });
        run.all();
    });
    if run.children.interrupted.load(Ordering::Relaxed) {
        return Err(Failure::new("interrupted: all sandboxes are taken down"));
    }
    let mut all = Tally::default();
    for tally in run.tallies.into_inner().unwrap_or_else(PoisonError::into_inner) {
        all.passed.extend(tally.passed);
        all.failed.extend(tally.failed);
        all.figures.extend(tally.figures);
    }
    Ok(all)
}

/// Builds what nodes are made of, so that no group waits for another one that builds it.
fn build_image(options: &Options, name: &str, suite: Suite, image: &str) -> Outcome {
    sandbox::down(&options.keddah, name)?;
    let mut up = Command::new(&options.keddah);
    up.args(["sandbox", "--name", name, "up", "--nodes", "1"]);
    up.args(["--suite", suite.name(), "--image", image]);
    let built = command::run(&mut up, BUILDING).and_then(command::Output::success);
    sandbox::down(&options.keddah, name)?;
    built.map(|_| ())
}

impl Run<'_> {
    /// Runs all groups: those that measure when the others have ended.
    fn all(&self) {
        for measures in [false, true] {
            let groups = GROUPS.iter().rev().filter(|group| group.measures == measures);
            let waiting: Mutex<Vec<&Group>> = Mutex::new(groups.collect());
            std::thread::scope(|scope| {
                for _ in 0..self.options.jobs {
                    scope.spawn(|| self.work(&waiting));
                }
            });
        }
    }

    /// Runs groups until none is left.
    fn work(&self, waiting: &Mutex<Vec<&Group>>) {
        loop {
            let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(group) = next else { return };
            if self.children.interrupted.load(Ordering::Relaxed) {
                return;
            }
            let name = format!("{}-{}", self.options.sandbox, group.name);
            let directory = self.options.output.join(group.name);
            let ended = self.group(group, &name, &directory);
            let mut tally = read(&directory);
            // One that was killed has not said so itself.
            let told = |tally: &Tally, name: &str| {
                tally.passed.iter().chain(&tally.failed).any(|one| one == name)
            };
            for scenario in group.scenarios {
                if !told(&tally, scenario) {
                    tally.failed.push((*scenario).to_owned());
                }
            }
            let ended = ended.and_then(|()| sandbox::down_with_beside(&self.options.keddah, &name));
            if let Err(failure) = ended {
                self.print(&format!(
                    "\ngroup {}: {}\n{}\n",
                    group.name, failure.message, failure.evidence
                ));
                if tally.failed.is_empty() {
                    tally.failed.push(format!("the end of group {}", group.name));
                }
            }
            self.tallies.lock().unwrap_or_else(PoisonError::into_inner).push(tally);
        }
    }

    fn group(&self, group: &Group, sandbox: &str, directory: &Path) -> Outcome {
        std::fs::create_dir_all(directory)?;
        let _ = std::fs::remove_file(directory.join(RESULT));
        let mut command = Command::new(&self.this);
        command.args(["--group", group.name, "--sandbox", sandbox, "--output"]).arg(directory);
        command.arg("--keddah").arg(&self.options.keddah);
        command.args(["--suite", self.options.suite.name()]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        self.children.add(child.id());
        self.pass_on(&mut child);
        let status = child.wait()?;
        self.children.remove(child.id());
        match status.code() {
            // It has said itself what failed.
            Some(0 | 1) => Ok(()),
            _ => Err(Failure::new(format!("its process ended with {status}"))),
        }
    }

    /// Prints what a group says, a scenario at a time, so that what two say is not mixed.
    fn pass_on(&self, child: &mut Child) {
        let Some(stdout) = child.stdout.take() else { return };
        let mut block = Vec::new();
        let mut reader = BufReader::new(stdout);
        loop {
            let mut line = Vec::new();
            let length = reader.read_until(b'\n', &mut line).unwrap_or(0);
            // A scenario begins with an empty line.
            if length == 0 || line == b"\n" {
                self.print(&String::from_utf8_lossy(&block));
                block.clear();
            }
            if length == 0 {
                return;
            }
            block.extend(line);
        }
    }

    fn print(&self, text: &str) {
        let _whole = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    }
}

/// Writes down what a group has come to so far.
pub fn write(directory: &Path, tally: &Tally) -> Outcome {
    let Tally { passed, failed, figures } = tally;
    let document = serde_json::json!({ "passed": passed, "failed": failed, "figures": figures });
    let new = directory.join(format!("{RESULT}.new"));
    std::fs::write(&new, document.to_string())?;
    Ok(std::fs::rename(new, directory.join(RESULT))?)
}

/// Reads it; what was not written has not happened.
fn read(directory: &Path) -> Tally {
    let text = std::fs::read_to_string(directory.join(RESULT)).unwrap_or_default();
    let document: Value = serde_json::from_str(&text).unwrap_or_default();
    let list = |name: &str| -> Vec<String> {
        let words = document.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        words.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    Tally { passed: list("passed"), failed: list("failed"), figures: list("figures") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_survives_writing_and_reading_and_none_is_empty() {
        let directory = std::env::temp_dir().join(format!("keddah-tally-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        assert_eq!(read(&directory), Tally::default());
        let tally = Tally {
            passed: vec!["one".into()],
            failed: vec!["two".into()],
            figures: vec!["three: 4 s".into()],
        };
        write(&directory, &tally).unwrap();
        assert_eq!(read(&directory), tally);
        std::fs::remove_dir_all(directory).unwrap();
    }
}
