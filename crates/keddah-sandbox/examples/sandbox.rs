//! Drives the library until the `keddah` command does.
#![allow(clippy::disallowed_macros, clippy::disallowed_methods)]

use std::os::unix::process::CommandExt;

use keddah_sandbox::{ImageKind, Locations, Sandbox, StopMode, Suite, UpOptions};

fn main() {
    if let Err(error) = run() {
        eprintln!("error: {error}");
        let mut cause = std::error::Error::source(error.as_ref());
        while let Some(error) = cause {
            eprintln!("  because: {error}");
            cause = error.source();
        }
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let locations = Locations::default();
    let value = |option: &str| {
        words.iter().position(|word| word == option).and_then(|at| words.get(at + 1)).cloned()
    };
    let name = std::env::var("SANDBOX").unwrap_or("default".into());
    let open = || Sandbox::open(&locations, &name);
    let word = |at: usize| words.get(at).cloned().unwrap_or_default();
    let after = words.iter().position(|word| word == "--").map_or(words.len(), |at| at + 1);
    match word(0).as_str() {
        "up" => {
            let options = UpOptions {
                name: name.clone(),
                nodes: value("--nodes").map_or(Ok(4), |text| text.parse())?,
                suite: value("--suite").map_or(Ok(Suite::Trixie), |text| text.parse())?,
                image: value("--image").map_or(Ok(ImageKind::Warm), |text| text.parse())?,
                in_memory: words.contains(&"--tmpfs".to_owned()),
                disks: Vec::new(),
                mirror: None,
                server: vec![std::env::current_exe()?.into(), "serve".into()],
            };
            Sandbox::up(&locations, &options, &|event| eprintln!("{event:?}"))?;
        }
        "serve" => {
            keddah_sandbox::serve_repository(word(1).as_ref(), word(2).parse()?)?;
        }
        "status" => println!("{}", serde_json::to_string_pretty(&open()?.status()?)?),
        "exec" => return Err(open()?.command_in_node(&word(1), &words[after..])?.exec().into()),
        "in" => return Err(open()?.command_in_network(&words[after..]).exec().into()),
        "shell" => return Err(open()?.shell(&word(1))?.exec().into()),
        "stop" if word(2) == "--hard" => open()?.stop(&word(1), StopMode::PowerLoss)?,
        "stop" => open()?.stop(&word(1), StopMode::Orderly)?,
        "start" => open()?.start(&word(1))?,
        "cut" => open()?.cut(&word(1))?,
        "heal" => open()?.heal(&word(1))?,
        "down" => println!("{:?}", Sandbox::down(&locations, &name)?),
        other => return Err(format!("unknown: {other}").into()),
    }
    Ok(())
}
