//! Runs the scenarios in order, says how each went, and leaves nothing behind.

use crate::failure::{Failure, Outcome};
use crate::scenarios::{SCENARIOS, Scenario};
use crate::world::World;
use crate::{Options, sandbox};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Lines of evidence that are printed; the whole of it is beside the logs.
const EVIDENCE: usize = 120;

/// Runs what the options choose.
pub fn run(options: Options) -> ExitCode {
    if options.list {
        for (index, scenario) in SCENARIOS.iter().enumerate() {
            println!("{}  {:12} {}", index + 1, scenario.name, scenario.about);
        }
        return ExitCode::SUCCESS;
    }
    match chosen(&options.only).and_then(|chosen| Ok((chosen, World::new(options)?))) {
        Ok((chosen, mut world)) => all(&chosen, &mut world),
        Err(failure) => {
            eprintln!("{}", failure.message);
            ExitCode::from(2)
        }
    }
}

fn chosen(only: &[String]) -> Outcome<Vec<&'static Scenario>> {
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
    take_down_when_interrupted(world.program.clone(), world.options.sandbox.clone());
    let begun = Instant::now();
    let mut failed = Vec::new();
    let mut passed = 0;
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
                passed += 1;
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
                failed.push(scenario.name);
                if world.options.keep {
                    println!("  the sandbox is left as it is");
                    break;
                }
                world.discard();
            }
        }
    }
    world.discard();
    if !world.figures.is_empty() {
        println!("\nMeasured:");
        for figure in &world.figures {
            println!("  {figure}");
        }
    }
    if !failed.is_empty() {
        println!("\nfailed: {}", failed.join(", "));
    }
    println!("\n{} scenarios in {:.0} s", chosen.len(), begun.elapsed().as_secs_f64());
    println!("{passed} passed, {} failed", failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) }
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

/// Ctrl-C, or the end of the session that this runs in, must not leave nodes behind.
fn take_down_when_interrupted(program: PathBuf, name: String) {
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
            eprintln!("interrupted: taking the sandbox down");
            let _ = sandbox::down(&program, &name);
            std::process::exit(130);
        });
    });
}
