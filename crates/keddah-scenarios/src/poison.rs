//! Looking for a secret everywhere: in command lines, environments, logs and readable files.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks at all processes.
const PACE: Duration = Duration::from_millis(50);

/// Watches the command lines and environments of every process of this machine. The nodes' processes
/// are among them, for their namespaces lie below this one.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What a watch came to.
#[derive(Debug, Default)]
pub struct Seen {
    /// Where the secret stood, without the secret.
    pub places: BTreeSet<String>,
    /// How often everything was looked at.
    pub rounds: usize,
    /// Programs that were looked at.
    pub programs: BTreeSet<String>,
}

impl Watch {
    /// Begins to watch for any text that contains `poison`.
    pub fn start(poison: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, poison) = (stop.clone(), poison.as_bytes().to_vec());
        let thread = std::thread::spawn(move || {
            let mut seen = Seen::default();
            while !told.load(Ordering::Relaxed) {
                look(&poison, &mut seen);
                seen.rounds += 1;
                std::thread::sleep(PACE);
            }
            seen
        });
        Self { stop, thread }
    }

    /// Ends it.
    pub fn finish(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

fn look(poison: &[u8], seen: &mut Seen) {
    let Ok(entries) = std::fs::read_dir("/proc") else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let number = entry.file_name();
        if !number.to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let program = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
        for what in ["cmdline", "environ"] {
            let Ok(text) = std::fs::read(path.join(what)) else { continue };
            if contains(&text, poison) {
                seen.places.insert(format!("{what} of {}", program.trim()));
            }
        }
        seen.programs.insert(program.trim().to_owned());
    }
}

/// Whether bytes contain others.
pub fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}
