//! Running programs: all output kept, an end after a time.

use crate::failure::{Failure, Outcome};
use std::fmt;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a program said and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command line.
    pub command: String,
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// From start to end.
    pub elapsed: Duration,
}

impl Output {
    /// Fails unless the exit code is one of these.
    pub fn expect(self, codes: &[i32]) -> Outcome<Self> {
        if self.code.is_some_and(|code| codes.contains(&code)) {
            return Ok(self);
        }
        let ended = self.code.map_or("a signal".to_owned(), |code| code.to_string());
        Err(Failure::new(format!("`{}` ended with {ended}, expected {codes:?}", self.command))
            .with(&self))
    }

    /// Fails unless the exit code is 0.
    pub fn success(self) -> Outcome<Self> {
        self.expect(&[0])
    }

    /// Standard output without blanks around it.
    pub fn text(&self) -> &str {
        self.stdout.trim()
    }
}

impl fmt::Display for Output {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "$ {}", self.command)?;
        formatter.write_str(self.stdout.trim_end())?;
        if !self.stderr.trim().is_empty() {
            write!(formatter, "\n{}", self.stderr.trim_end())?;
        }
        Ok(())
    }
}

/// What a stream has said so far, and the thread that listens to it.
type Kept = (Arc<Mutex<Vec<u8>>>, JoinHandle<()>);

/// A program that runs.
pub struct Running {
    child: Child,
    command: String,
    started: Instant,
    streams: [Kept; 2],
}

fn keep(mut stream: impl Read + Send + 'static) -> Kept {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let shared = kept.clone();
    let thread = std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            shared.lock().unwrap_or_else(PoisonError::into_inner).extend(&buffer[..length]);
        }
    });
    (kept, thread)
}

/// Starts a program with nothing on its standard input.
pub fn start(command: &mut Command) -> Outcome<Running> {
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let text = words.join(" ");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::new(format!("cannot start `{text}`: {error}")))?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Failure::new("a program's output cannot be read"));
    };
    let streams = [keep(stdout), keep(stderr)];
    Ok(Running { child, command: text, started: Instant::now(), streams })
}

impl Running {
    /// Kills it with signal 9, whatever it is doing; true when it still ran.
    pub fn kill(&mut self) -> Outcome<bool> {
        if self.child.try_wait()?.is_some() {
            return Ok(false);
        }
        self.child.kill()?;
        Ok(true)
    }

    /// Waits for its end, and kills it after the time is up.
    pub fn wait(mut self, at_most: Duration) -> Outcome<Output> {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if begun.elapsed() > at_most {
                self.child.kill()?;
                self.child.wait()?;
                let output = self.collect(None);
                return Err(Failure::new(format!(
                    "`{}` did not end within {} s",
                    output.command,
                    at_most.as_secs()
                ))
                .with(&output));
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        Ok(self.collect(status.code()))
    }

    fn collect(self, code: Option<i32>) -> Output {
        let elapsed = self.started.elapsed();
        let [stdout, stderr] = self.streams.map(|(kept, thread)| {
            // A grandchild may hold the stream open; what it says later is not this program's.
            for _ in 0..50 {
                if thread.is_finished() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            let bytes = kept.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Output { command: self.command, code, stdout, stderr, elapsed }
    }
}

/// Runs a program to its end.
pub fn run(command: &mut Command, at_most: Duration) -> Outcome<Output> {
    start(command)?.wait(at_most)
}

/// Asks again until there is an answer.
///
/// # Errors
/// When the time is up, with what the last attempt said.
pub fn wait_until<T>(
    what: &str,
    at_most: Duration,
    mut ask: impl FnMut() -> Outcome<T>,
) -> Outcome<T> {
    let started = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(failure) if started.elapsed() > at_most => {
                let message =
                    format!("{what}: not within {} s: {}", at_most.as_secs(), failure.message);
                return Err(Failure { message, ..failure });
            }
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}
