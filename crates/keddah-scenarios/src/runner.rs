//! Runs scenarios in order, says how each went, and leaves nothing behind.

use crate::failure::{Failure, Outcome};
use crate::scenarios::{GROUPS, SCENARIOS, Scenario};
use crate::side_by_side::{self, Tally};
use crate::world::World;
use crate::{Options, sandbox};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Lines of evidence that are printed; the whole of it is beside the logs.
const EVIDENCE: usize = 120;

/// Runs what the options choose.
pub fn run(options: Options) -> ExitCode {
    if options.list {
        for (index, scenario) in SCENARIOS.iter().enumerate() {
            println!("{:2}  {:12} {}", index + 1, scenario.name, scenario.about);
        }
        println!("\nGroups, side by side:");
        for group in GROUPS {
            println!("    {:12} {}", group.name, group.scenarios.join(", "));
        }
        return ExitCode::SUCCESS;
    }
    if options.only.is_empty() && options.group.is_none() && !options.keep {
        return side_by_side::run(&options);
    }
    match chosen(&options).and_then(|chosen| Ok((chosen, World::new(options)?))) {
        Ok((chosen, mut world)) => all(&chosen, &mut world),
        Err(failure) => {
            eprintln!("{}", failure.message);
            ExitCode::from(2)
        }
    }
}

fn chosen(options: &Options) -> Outcome<Vec<&'static Scenario>> {
    if let Some(name) = &options.group {
        let group = GROUPS.iter().find(|group| group.name == name);
        let group =
            group.ok_or_else(|| Failure::new(format!("there is no group `{name}`; see --list")))?;
        return Ok(SCENARIOS.iter().filter(|one| group.scenarios.contains(&one.name)).collect());
    }
    let only = &options.only;
    let named = |word: &String| {
        let number: Option<usize> = word.parse().ok();
        SCENARIOS
            .iter()
            .enumerate()
            .find(|(index, scenario)| number == Some(index + 1) || scenario.name == word)
            .map(|(index, _)| index)
            .ok_or_else(|| Failure::new(format!("there is no scenario `{word}`; see --list")))
    };
    let wanted = only.iter().map(named).collect::<Outcome<Vec<usize>>>()?;
    let wants = |index: usize| wanted.is_empty() || wanted.contains(&index);
    Ok(SCENARIOS
        .iter()
        .enumerate()
        .filter(|(index, _)| wants(*index))
        .map(|(_, one)| one)
        .collect())
}

fn all(chosen: &[&'static Scenario], world: &mut World) -> ExitCode {
    take_down_when_interrupted(world);
    let in_group = world.options.group.is_some();
    if in_group && let Err(failure) = end_with_parent() {
        eprintln!("{}", failure.message);
        return ExitCode::from(2);
    }
    let begun = Instant::now();
    let mut tally = Tally::default();
    for scenario in chosen {
        println!("\n{}: {}", scenario.name, scenario.about);
        let started = Instant::now();
        let result = (scenario.run)(world);
        let seconds = started.elapsed().as_secs_f64();
        let logs = world.options.output.join(scenario.name);
        let _ = std::fs::remove_dir_all(&logs);
        match result {
            Ok(()) => {
                println!("  passed in {seconds:.1} s");
                tally.passed.push(scenario.name.to_owned());
            }
            Err(failure) => {
                println!("  FAILED after {seconds:.1} s: {}", failure.message);
                show(&failure.evidence);
                if let Some(sandbox) = world.sandbox() {
                    let saved = sandbox.save_logs(&logs).and_then(|()| {
                        Ok(std::fs::write(logs.join("evidence.txt"), &failure.evidence)?)
                    });
                    match saved {
                        Ok(()) => println!("  the nodes' logs are in {}", logs.display()),
                        Err(failure) => println!("  no logs: {}", failure.message),
                    }
                }
                tally.failed.push(scenario.name.to_owned());
                if world.options.keep {
                    println!("  the sandbox is left as it is");
                    break;
                }
                world.discard();
            }
        }
        tally.figures.clone_from(&world.figures);
        if in_group && let Err(failure) = side_by_side::write(&world.options.output, &tally) {
            println!("  the result cannot be written down: {}", failure.message);
        }
    }
    world.discard();
    if in_group {
        return code(&tally);
    }
    summary(&tally, chosen.len(), begun.elapsed())
}

fn code(tally: &Tally) -> ExitCode {
    if tally.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// Prints what all scenarios came to; the last line is what scripts read.
pub fn summary(tally: &Tally, count: usize, elapsed: Duration) -> ExitCode {
    let Tally { passed, failed, figures } = tally;
    if !figures.is_empty() {
        println!("\nMeasured:");
        for figure in figures {
            println!("  {figure}");
        }
    }
    if !failed.is_empty() {
        println!("\nfailed: {}", failed.join(", "));
    }
    println!("\n{count} scenarios in {:.0} s", elapsed.as_secs_f64());
    println!("{} passed, {} failed", passed.len(), failed.len());
    code(tally)
}

/// Asks for SIGTERM when the process that started this one ends in any way, also by a kill: that one then can take
/// no nodes down.
fn end_with_parent() -> Outcome {
    let before = getppid();
    set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(|error| Failure::new(format!("cannot ask for the parent's end: {error}")))?;
    // It may have ended before the question.
    crate::ensure!(before.is_some() && getppid() == before, "the process that began this is gone");
    Ok(())
}

/// Prints what programs said: the end of it, where the cause usually stands.
fn show(evidence: &str) {
    let lines: Vec<&str> = evidence.lines().collect();
    let hidden = lines.len().saturating_sub(EVIDENCE);
    if hidden > 0 {
        println!("    | … {hidden} lines before");
    }
    for line in &lines[hidden..] {
        println!("    | {line}");
    }
}

/// An interruption takes the world's sandbox down and ends this process.
pub fn take_down_when_interrupted(world: &World) {
    let (program, name) = (world.program.clone(), world.options.sandbox.clone());
    when_interrupted(move || {
        eprintln!("interrupted: taking the sandbox down");
        let _ = sandbox::down_for_good(&program, &name);
        std::process::exit(130);
    });
}

/// Ctrl-C, or the end of the session that this runs in, must not leave nodes behind.
pub fn when_interrupted(act: impl FnOnce() + Send + 'static) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut terminate), Ok(mut hangup)) =
                (signal(SignalKind::terminate()), signal(SignalKind::hangup()))
            else {
                return;
            };
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            act();
        });
    });
}
