//! Runs programs: a fixed environment, a time limit, and secrets only through standard input.

use crate::{HostError, round};
use keddah_core::Secret;
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// Queries of local tools answer within a second; one that takes this long hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Logins without a profile lack the `sbin` directories in which half of our tools stand.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program to run.
#[derive(Debug, Clone)]
pub struct Command {
    program: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    input: Option<Secret>,
    patience: Duration,
    outlives_us: bool,
    asks: Option<String>,
}

/// What a program left behind.
#[derive(Debug, Clone)]
pub struct Output {
    /// The exit code; 128 and the signal's number when a signal ended it, as shells count.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Ends the whole process group when the run is given up, so that no helper goes on working.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may be gone already, which is what is wanted.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

fn memory_file() -> Result<File, HostError> {
    rustix::fs::memfd_create("output", rustix::fs::MemfdFlags::CLOEXEC)
        .map(File::from)
        .map_err(|error| HostError::new(format!("no memory for a program's output: {error}")))
}

fn another(file: &File) -> Result<File, HostError> {
    file.try_clone()
        .map_err(|error| HostError::new(format!("no file for a program's output: {error}")))
}

fn content(mut file: File) -> Result<Vec<u8>, HostError> {
    let mut bytes = Vec::new();
    file.rewind()
        .and_then(|()| file.read_to_end(&mut bytes))
        .map_err(|error| HostError::new(format!("cannot read a program's output: {error}")))?;
    Ok(bytes)
}

/// Where a program stands. The standard library looks for a name in a path that it was given only after a
/// fork, which copies the tables of all memory of an agent; a place is started by `posix_spawn`, which copies
/// none. One that is nowhere keeps its name, and the error is that of starting it.
fn place(program: &str, path: &str) -> PathBuf {
    let name = PathBuf::from(program);
    if program.contains('/') {
        return name;
    }
    let runs = |file: &PathBuf| {
        file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
    };
    path.split(':').map(|directory| Path::new(directory).join(program)).find(runs).unwrap_or(name)
}

impl Command {
    /// A program found in the usual directories.
    pub fn new(program: &str) -> Self {
        Self {
            program: program.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            input: None,
            patience: PATIENCE,
            outlives_us: false,
            asks: None,
        }
    }

    /// Adds arguments. Everybody on the machine can read them: never a secret.
    #[must_use]
    pub fn args<T: AsRef<str>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(self, argument: impl AsRef<str>) -> Self {
        self.args([argument])
    }

    /// Adds a variable to the program's environment, which otherwise holds only the search path,
    /// `HOME` and the C locale.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What the program reads from its standard input.
    #[must_use]
    pub fn input(mut self, input: Secret) -> Self {
        self.input = Some(input);
        self
    }

    /// Lets it go on when nobody waits for it any more, because it does more harm to be ended
    /// half-way; only its own patience ends it.
    #[must_use]
    pub fn outlives_us(mut self) -> Self {
        self.outlives_us = true;
        self
    }

    /// How long it may take.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Whom it asks, where that may be silent: in a round it is not waited for longer than others.
    #[must_use]
    pub fn asks(mut self, who: impl Into<String>) -> Self {
        self.asks = Some(who.into());
        self
    }

    /// Waits for its end, or says how long that took.
    async fn end<T>(&self, running: impl Future<Output = T>) -> Result<T, round::Silence> {
        match &self.asks {
            Some(who) => round::ask(who, Some(self.patience), running).await,
            None => {
                let waited = self.patience;
                let ended = tokio::time::timeout(waited, running).await;
                round::heard();
                ended.map_err(|_| round::Silence { waited })
            }
        }
    }

    /// Runs it and returns what it left, whatever the exit code.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time; it is ended then.
    pub async fn run(&self) -> Result<Output, HostError> {
        // A program that outlives this process must not die of a pipe that nobody reads; and what one
        // that hangs has said until then is the best that there is to tell of it.
        let [said, complained] = [memory_file()?, memory_file()?];
        let mut child = tokio::process::Command::new(place(&self.program, PATH))
            .arg0(&self.program)
            .args(&self.arguments)
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", "/root")
            .env("LC_ALL", "C")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(another(&said)?)
            .stderr(another(&complained)?)
            .process_group(0)
            .kill_on_drop(!self.outlives_us)
            .spawn()
            .map_err(|error| HostError::new(format!("cannot run {}: {error}", self.program)))?;
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let mut group = Group(pid.filter(|_| !self.outlives_us));
        let feed = child.stdin.take().zip(self.input.as_ref());
        let feeding = async {
            if let Some((mut pipe, input)) = feed {
                // A program that does not read to the end says by its exit code what it thinks.
                let _ = pipe.write_all(input.reveal().as_bytes()).await;
            }
        };
        let running = async { tokio::join!(child.wait(), feeding).0 };
        let text = |file: File| -> Result<String, HostError> {
            Ok(String::from_utf8_lossy(&content(file)?).into_owned())
        };
        let status = match self.end(running).await {
            Ok(status) => status.map_err(|error| {
                HostError::new(format!("lost track of {}: {error}", self.program))
            })?,
            Err(silence) => {
                group.0 = pid;
                return Err(HostError::new(format!(
                    "`{}` did not end within {}",
                    self.line(),
                    silence.seconds()
                ))
                .with_log(&format!("{}\n{}", text(said)?, text(complained)?)));
            }
        };
        group.0 = None;
        let code = status.code();
        let code = code.unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
        Ok(Output { code, stdout: text(said)?, stderr: text(complained)? })
    }

    /// Runs it and returns its standard output.
    ///
    /// # Errors
    /// As [`Command::run`], and when the exit code is not 0; the error holds what it said.
    pub async fn succeed(&self) -> Result<String, HostError> {
        let output = self.run().await?;
        if output.code == 0 { Ok(output.stdout) } else { Err(self.failure(&output)) }
    }

    /// The error for an output that is not wanted.
    pub fn failure(&self, output: &Output) -> HostError {
        let said = if output.stderr.trim().is_empty() { &output.stdout } else { &output.stderr };
        HostError::new(format!("`{}` failed with exit code {}", self.line(), output.code))
            .with_log(said)
    }

    /// The command as a person would type it, short enough for one line.
    fn line(&self) -> String {
        let mut line = self.program.clone();
        for (index, word) in self.arguments.iter().enumerate() {
            if line.len() + word.len() > 120 {
                line.push_str(&format!(" … ({} more)", self.arguments.len() - index));
                break;
            }
            line.push(' ');
            line.push_str(word);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn input_reaches_the_program_and_output_comes_back() {
        let text = "x".repeat(300_000);
        let output = Command::new("cat").input(Secret::new(text.clone())).succeed().await.unwrap();
        assert_eq!(output, text);
    }

    #[tokio::test]
    async fn the_environment_is_fixed() {
        let output = Command::new("env").env("EXTRA", "1").succeed().await.unwrap();
        let mut names: Vec<&str> =
            output.lines().filter_map(|line| line.split('=').next()).collect();
        names.sort_unstable();
        assert_eq!(names, ["EXTRA", "HOME", "LC_ALL", "PATH"]);
    }

    #[tokio::test]
    async fn a_program_is_the_first_of_its_name_that_may_be_run() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for one in ["a", "b", "c"] {
            std::fs::create_dir(at(one)).unwrap();
        }
        std::fs::create_dir(at("a/program")).unwrap();
        for (name, mode) in [("b/program", 0o644), ("c/program", 0o755)] {
            std::fs::write(at(name), "").unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(at(name), mode).unwrap();
        }
        let path = ["a", "b", "c"].map(|one| at(one).display().to_string()).join(":");
        assert_eq!(place("program", &path), at("c/program"));
        assert_eq!(place("another", &path), Path::new("another"));
        assert_eq!(place("/x/program", &path), Path::new("/x/program"));
        let error = Command::new("a-program-that-nobody-makes").run().await.unwrap_err();
        assert!(
            error.message.contains("cannot run a-program-that-nobody-makes: No such file"),
            "{error}"
        );
        // It is called by the name that it was given, not by its place.
        let called = Command::new("sh").args(["-c", "echo $0"]).succeed().await.unwrap();
        assert_eq!(called, "sh\n");
    }

    #[tokio::test]
    async fn a_failure_holds_what_the_program_said() {
        let error = Command::new("sh")
            .args(["-c", "echo out; echo why >&2; exit 3"])
            .succeed()
            .await
            .unwrap_err();
        assert!(error.message.ends_with("failed with exit code 3"), "{error}");
        assert_eq!(error.log, ["why"]);
    }

    #[tokio::test]
    async fn a_program_may_outlive_those_who_wait_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let note = directory.path().join("note");
        let script = format!("echo one; sleep 0.4; echo two && touch {}", note.display());
        let command = Command::new("sh").args(["-c", &script]).outlives_us();
        let given_up = tokio::time::timeout(Duration::from_millis(100), command.run()).await;
        assert!(given_up.is_err());
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert!(note.exists());
        assert_eq!(command.succeed().await.unwrap(), "one\ntwo\n");
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_ended_with_its_children() {
        let directory = tempfile::tempdir().unwrap();
        let note = directory.path().join("note");
        let script =
            format!("echo waits for x >&2; (sleep 0.6; touch {}) & sleep 60", note.display());
        let error = Command::new("sh")
            .args(["-c", &script])
            .patience(Duration::from_millis(200))
            .run()
            .await
            .unwrap_err();
        assert!(error.message.contains("did not end within"), "{error}");
        assert_eq!(error.log, ["waits for x"]);
        tokio::time::sleep(Duration::from_millis(800)).await;
        assert!(!note.exists(), "a child went on working");
    }
}
