//! The sandbox as the scenarios use it, through the program under test.

use crate::command::{self, Output};
use crate::failure::{Failure, Outcome};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The first node's last octet.
const FIRST: u8 = 10;

/// A node that is on answers sooner.
const PATIENCE: Duration = Duration::from_secs(3);

/// Which packages nodes come with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image {
    /// A minimal system.
    Bare,
    /// All packages installed.
    Warm,
}

/// A sandbox that stands; taken down when dropped unless it is kept.
#[derive(Debug)]
pub struct Sandbox {
    program: PathBuf,
    name: String,
    keep: bool,
    /// Where OpenSSH's shared connections go. Nodes of all sandboxes have the same addresses, so
    /// each sandbox needs a place of its own. Short, because a socket's path is.
    runtime: PathBuf,
    /// How many nodes it has.
    pub nodes: u8,
}

/// Whether this process is about to end: what it booted now, nobody would take down.
static ENDING: AtomicBool = AtomicBool::new(false);

/// The name of a second sandbox of whoever has this one.
pub fn beside(name: &str) -> String {
    format!("{name}-b")
}

/// Takes away what stands under this name and beside it, for good: this process boots nothing more.
pub fn down_for_good(program: &Path, name: &str) -> Outcome {
    ENDING.store(true, Ordering::SeqCst);
    down_with_beside(program, name)
}

/// Takes away what stands under this name and beside it.
pub fn down_with_beside(program: &Path, name: &str) -> Outcome {
    let both = [down(program, &beside(name)), down(program, name)];
    both.into_iter().try_for_each(|one| one.map(|_| ()))
}

/// A node's name by its number from 1.
pub fn node(number: u8) -> String {
    format!("node-{number}")
}

/// A node's address by its number from 1.
pub fn address(number: u8) -> String {
    format!("10.10.10.{}", FIRST + number - 1)
}

/// Takes away whatever stands under this name.
pub fn down(program: &Path, name: &str) -> Outcome<Output> {
    let mut down = Command::new(program);
    down.args(["sandbox", "--name", name, "down"]);
    let output = command::run(&mut down, Duration::from_secs(60))?.success()?;
    remove(&runtime_directory(name))?;
    Ok(output)
}

fn runtime_directory(name: &str) -> PathBuf {
    PathBuf::from(format!("/run/keddah/{name}-runtime"))
}

impl Sandbox {
    /// Boots fresh nodes.
    pub fn up(
        program: &Path,
        name: &str,
        suite: &str,
        image: Image,
        nodes: u8,
        disks: &[&str],
        keep: bool,
    ) -> Outcome<Self> {
        down(program, name)?;
        crate::ensure!(!ENDING.load(Ordering::SeqCst), "interrupted");
        let kind = if image == Image::Bare { "bare" } else { "warm" };
        let count = nodes.to_string();
        let mut up = Command::new(program);
        up.args(["sandbox", "--name", name, "up", "--nodes", &count]);
        up.args(["--suite", suite, "--image", kind]);
        for disk in disks {
            up.args(["--disk", disk]);
        }
        // The first run on a machine makes the images.
        command::run(&mut up, Duration::from_secs(1200))?.success()?;
        let runtime = runtime_directory(name);
        std::fs::create_dir_all(&runtime)?;
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&runtime, private)?;
        let program = program.to_path_buf();
        Ok(Self { program, name: name.to_owned(), keep, runtime, nodes })
    }

    /// The program under test, to be run inside the sandbox's network.
    pub fn keddah<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.within(&self.program);
        command.args(arguments);
        command
    }

    /// Any program of this machine, to be run inside the sandbox's network.
    pub fn within(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["sandbox", "--name", &self.name, "in", "--"]).arg(program);
        command.env("XDG_RUNTIME_DIR", &self.runtime);
        command
    }

    /// Runs a shell script on a node as root.
    pub fn shell(&self, number: u8, script: &str) -> Outcome<Output> {
        self.shell_for(number, script, Duration::from_secs(120))
    }

    /// The same, for scripts that take long.
    pub fn shell_for(&self, number: u8, script: &str, at_most: Duration) -> Outcome<Output> {
        let node = node(number);
        let mut command = Command::new(&self.program);
        command.args(["sandbox", "--name", &self.name, "exec", &node, "--", "sh", "-c", script]);
        command::run(&mut command, at_most)
    }

    /// Switches a node off: in order, or by taking its power away.
    pub fn stop(&self, number: u8, hard: bool) -> Outcome {
        let name = node(number);
        let mut words = vec!["stop", name.as_str()];
        if hard {
            words.push("--hard");
        }
        self.control(&words)
    }

    /// Switches a node on and waits until it answers.
    pub fn start(&self, number: u8) -> Outcome {
        self.control(&["start", &node(number)])
    }

    /// Takes a node's network away.
    pub fn cut(&self, number: u8) -> Outcome {
        self.control(&["cut", &node(number)])
    }

    /// Gives it back.
    pub fn heal(&self, number: u8) -> Outcome {
        self.control(&["heal", &node(number)])
    }

    /// Gives a node a fault, by the words of `sandbox fault`, which ends by itself.
    pub fn fault(&self, number: u8, words: &[&str], seconds: u64) -> Outcome {
        let (name, seconds) = (node(number), seconds.to_string());
        let mut all = vec!["fault", name.as_str()];
        all.extend(words);
        all.extend(["--for", &seconds]);
        self.control(&all)
    }

    fn control(&self, words: &[&str]) -> Outcome {
        let mut command = Command::new(&self.program);
        command.args(["sandbox", "--name", &self.name]).args(words);
        command::run(&mut command, Duration::from_secs(60))?.success().map(|_| ())
    }

    /// The network namespace's path, for a thread to enter.
    pub fn network(&self) -> PathBuf {
        PathBuf::from(format!("/run/netns/keddah.{}", self.name))
    }

    /// Asks a node by HTTP from inside the sandbox's network; returns the answer's body.
    pub fn get(&self, number: u8, port: u16, path: &str) -> Outcome<String> {
        let target = SocketAddr::from(([10, 10, 10, FIRST + number - 1], port));
        let network = File::open(self.network())?;
        let ask = || -> std::io::Result<String> {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
            let mut stream = TcpStream::connect_timeout(&target, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            // Version 1.0: the connection's end is the answer's end.
            write!(stream, "GET {path} HTTP/1.0\r\nHost: {target}\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        // A thread of its own: a thread's network cannot be given back.
        let answer = std::thread::scope(|scope| scope.spawn(ask).join())
            .map_err(|_| Failure::new("asking by HTTP panicked"))?
            .map_err(|error| Failure::new(format!("{target} does not answer: {error}")))?;
        Ok(answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
    }

    /// Where this controller keeps its sockets.
    pub fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// Saves what the nodes' logs say into a directory.
    pub fn save_logs(&self, directory: &Path) -> Outcome {
        std::fs::create_dir_all(directory)?;
        for number in 1..=self.nodes {
            let script = "journalctl --no-pager -o short-precise -b 2>/dev/null | tail -5000; \
                 for file in $(find /pg/log/ /pg-*/log/ /var/log/postgresql -type f -size -20M 2>/dev/null); do \
                 echo; echo \"==> $file\"; tail -1000 \"$file\"; done";
            let path = directory.join(format!("{}.log", node(number)));
            match self.shell_for(number, script, Duration::from_secs(30)) {
                Ok(output) => std::fs::write(path, output.stdout + &output.stderr)?,
                Err(failure) => std::fs::write(path, failure.message)?,
            }
        }
        Ok(())
    }
}

fn remove(directory: &Path) -> Outcome {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::new(format!("cannot remove {}: {error}", directory.display())))
        }
        _ => Ok(()),
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(failure) = down(&self.program, &self.name) {
            eprintln!(
                "the sandbox cannot be taken down: {}\n{}",
                failure.message, failure.evidence
            );
        }
    }
}
