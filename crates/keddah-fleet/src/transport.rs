//! Reaching a node: by the user's own OpenSSH, by sudo on this machine, or within this process.

use crate::arrivals::Arrivals;
use crate::bootstrap::{self, MISSING};
use crate::limits::Limits;
use crate::session::{Opening, Session, late, lock, opening_within};
use crate::{agent, quote};
use keddah_core::NodeName;
use keddah_host::RealHost;
use keddah_plan::Failure;
use keddah_resource::kind::file::digest;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// Seconds until a node that does not answer counts as out of reach.
const CONNECT_SECONDS: u32 = 10;

/// Seconds that OpenSSH keeps a connection for the next command: a plan, a look at it, an apply.
const PERSIST_SECONDS: u32 = 60;

/// Lines of a process's standard error that are kept for its failure.
const KEPT_LINES: usize = 20;

/// Bytes of the agent that are copied at a time.
const COPY_BYTES: usize = 64 * 1024;

/// An agent within this process has the room that one in a process of its own has, by Linux' default.
const AGENT_STACK: usize = 8 << 20;

/// Buffered bytes between the two ends of a conversation within this process.
const PIPE_BYTES: usize = 256 * 1024;

/// Whether to become root by `sudo -n` when the login is another account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Become {
    /// When it is not root already.
    IfNeeded,
    /// Never (`ansible_become: false`).
    Never,
}

/// A node behind OpenSSH. Whatever is `None` is left to the user's `ssh_config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshTarget {
    /// `ansible_host`, or the inventory's name for it.
    pub host: String,
    /// `ansible_port`.
    pub port: Option<u16>,
    /// `ansible_user`.
    pub user: Option<String>,
    /// `ansible_ssh_private_key_file`.
    pub private_key_file: Option<String>,
    /// `ansible_ssh_common_args` and `ansible_ssh_extra_args`, split.
    pub arguments: Vec<String>,
    /// `ansible_become`.
    pub become_root: Become,
}

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Behind OpenSSH.
    Ssh(SshTarget),
    /// This machine, as a node (`ansible_connection: local`).
    Local(Become),
    /// This machine, as the controller: its own files, under the user's own account, unlocked.
    Controller,
}

/// Answers in the place of nodes: machines in memory, or what nodes once answered.
pub trait Agents: Send + Sync {
    /// Serves one conversation to its end, as [`agent::serve`] does; on a thread of its own.
    fn serve(&self, node: &NodeName, conversation: DuplexStream, settings: agent::Settings);
}

/// What of this machine is needed to reach others.
#[derive(Clone)]
pub struct Controller {
    /// This program, to be copied to nodes.
    pub executable: PathBuf,
    /// Its SHA-256 in hexadecimal digits.
    pub build: String,
    /// A private directory for the sockets of OpenSSH's connection sharing. Its path must be
    /// short: a socket's path has at most 107 bytes.
    pub control_directory: PathBuf,
    /// Where a node keeps what it owes: `/var/lib/keddah`.
    pub state_directory: PathBuf,
    /// OpenSSH's client: `ssh`.
    pub secure_shell: PathBuf,
    /// How long nodes are waited for.
    pub limits: Limits,
    /// Who has been reached.
    pub arrivals: Arrivals,
    /// Who answers in the place of all nodes, this machine included.
    pub agents: Option<Arc<dyn Agents>>,
}

impl Controller {
    /// Opens a conversation with a node, bringing the agent there first when it is missing.
    ///
    /// # Errors
    /// When the node is out of reach, with OpenSSH's own words.
    pub async fn connect(&self, node: &NodeName, target: &Target) -> Result<Session, Failure> {
        if let Some(agents) = self.agents.clone() {
            let of = node.clone();
            let serve = move |stream, settings| agents.serve(&of, stream, settings);
            return self.in_this_process(node, None, serve).await;
        }
        match target {
            Target::Controller => self.within(node, None).await,
            Target::Local(become_root) => {
                let root = rustix::process::geteuid().is_root();
                if root || *become_root == Become::Never {
                    let lock = root.then(|| PathBuf::from(agent::LOCK_PATH));
                    return self.within(node, lock).await;
                }
                let mut command = Command::new("sudo");
                command.arg("-n").arg("--").arg(&self.executable);
                command.args(["agent", "--build", &self.build]);
                let process = Process::start(&mut command)?;
                process
                    .converse(node, self, "sudo", self.limits.opening)
                    .await
                    .map(Conversation::session)?
                    .ok_or_else(|| Failure::new(format!("{node}: the agent did not start")))
            }
            Target::Ssh(target) => self.ssh(node, target).await,
        }
    }

    /// A thread of this process is the node's end: its blocking work must not hold up the fleet.
    async fn within(
        &self,
        node: &NodeName,
        lock_path: Option<PathBuf>,
    ) -> Result<Session, Failure> {
        let state_directory = self.state_directory.clone();
        let serve = move |conversation, settings| {
            let Ok(runtime) = agent::runtime() else { return };
            let (reader, writer) = tokio::io::split(conversation);
            let host = Arc::new(RealHost::new(state_directory));
            let _ = runtime.block_on(agent::serve(host, reader, writer, settings));
        };
        self.in_this_process(node, lock_path, serve).await
    }

    async fn in_this_process(
        &self,
        node: &NodeName,
        lock_path: Option<PathBuf>,
        serve: impl FnOnce(DuplexStream, agent::Settings) + Send + 'static,
    ) -> Result<Session, Failure> {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let settings = agent::Settings { build: self.build.clone(), lock_path };
        std::thread::Builder::new()
            .name(format!("agent {node}"))
            .stack_size(AGENT_STACK)
            .spawn(move || serve(theirs, settings))
            .map_err(|error| Failure::new(format!("cannot start a thread: {error}")))?;
        let (reader, writer) = tokio::io::split(ours);
        Session::over_within(node, &self.build, reader, writer, self.limits).await
    }

    async fn ssh(&self, node: &NodeName, target: &SshTarget) -> Result<Session, Failure> {
        let run = bootstrap::run(&self.build, target.become_root);
        let socket = self.control_directory.join(socket_name(target));
        let opening = self.limits.opening;
        for attempt in 0.. {
            let shared = socket.exists();
            // A shared connection has logged in already; what it does not do soon, a new one may.
            let limit = if shared && attempt == 0 { opening / 2 } else { opening };
            let process = Process::start(&mut self.ssh_command(target, &run))?;
            let conversation = process.converse(node, self, "ssh", limit).await;
            if shared && conversation.is_err() && attempt == 0 {
                // The shared connection may lead to a machine that was switched off since.
                let _ = std::fs::remove_file(&socket);
                continue;
            }
            let conversation = conversation.map_err(|failure| match failure.hint {
                None => {
                    let hint = advice(&failure.log, target);
                    failure.hint(hint)
                }
                Some(_) => failure,
            })?;
            match conversation {
                Conversation::Open(session) => return Ok(session),
                Conversation::Missing if attempt < 2 => {
                    self.install(node, target).await?;
                    self.arrivals.note();
                }
                Conversation::Missing => break,
            }
        }
        Err(Failure::new(format!("{node}: the agent was copied there, but it is not found"))
            .hint("is /var/lib/keddah mounted noexec?"))
    }

    /// Streams this program to the node.
    async fn install(&self, node: &NodeName, target: &SshTarget) -> Result<(), Failure> {
        let failed = |what: &str| Failure::new(format!("{node}: cannot copy the agent: {what}"));
        let script = bootstrap::install(&self.build, target.become_root);
        let Process { mut child, mut stdin, stdout, stderr } =
            Process::start(&mut self.ssh_command(target, &script))?;
        drop(stdout);
        let file = tokio::fs::File::open(&self.executable)
            .await
            .map_err(|error| failed(&format!("{}: {error}", self.executable.display())))?;
        let limit = self.limits.copying;
        // When the other end refuses, its standard error says more than a broken pipe.
        let copied = copy(file, &mut stdin, limit).await;
        drop(stdin);
        if let Err(error) = &copied
            && error.kind() == ErrorKind::TimedOut
        {
            let _ = child.start_kill();
            let log: Vec<String> = lock(&stderr).iter().cloned().collect();
            let hint = Some(format!("look at its disks; {}", advice(&log, target)));
            return Err(Failure { message: failed(&error.to_string()).message, log, hint });
        }
        let status = end(&mut child, limit).await.map_err(|error| failed(&error.to_string()))?;
        if status.success() && copied.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let log: Vec<String> = lock(&stderr).iter().cloned().collect();
        let last = log.last().map_or("the connection broke", String::as_str).to_owned();
        let hint = Some(advice(&log, target));
        Err(Failure { message: failed(&last).message, log, hint })
    }

    fn ssh_command(&self, target: &SshTarget, remote: &str) -> Command {
        let SshTarget { host, port: _, user: _, private_key_file: _, arguments: _, become_root: _ } =
            target;
        let mut command = Command::new(&self.secure_shell);
        command.args(["-T", "-o", "BatchMode=yes"]);
        command.arg("-o").arg(format!("ConnectTimeout={CONNECT_SECONDS}"));
        command.args(["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"]);
        command.args(["-o", "ControlMaster=auto"]);
        command.arg("-o").arg(format!("ControlPersist={PERSIST_SECONDS}"));
        command.arg("-o").arg(control_path(&self.control_directory, target));
        command.args(login(target));
        command.arg("--").arg(host).arg(remote);
        command
    }
}

fn control_path(directory: &Path, target: &SshTarget) -> String {
    // `%` begins a token of OpenSSH's, and a blank would end the value.
    let directory = directory.to_string_lossy().replace('%', "%%");
    format!("ControlPath=\"{directory}/{}\"", socket_name(target))
}

/// A name of our own rather than OpenSSH's `%C`: other options are another connection, and we know
/// which file to remove when it leads nowhere.
pub(crate) fn socket_name(target: &SshTarget) -> String {
    let words = login(target).join("\0");
    digest(format!("{}\0{words}", target.host).as_bytes())[..24].to_owned()
}

fn login(target: &SshTarget) -> Vec<String> {
    let mut arguments = Vec::new();
    if let Some(port) = target.port {
        arguments.extend(["-p".to_owned(), port.to_string()]);
    }
    if let Some(user) = &target.user {
        arguments.extend(["-l".to_owned(), user.clone()]);
    }
    if let Some(key) = &target.private_key_file {
        arguments.extend(["-i".to_owned(), key.clone()]);
    }
    arguments.extend(target.arguments.iter().cloned());
    arguments
}

fn by_hand(target: &SshTarget) -> String {
    let words = login(target);
    let words = words.iter().map(String::as_str).chain([target.host.as_str(), "true"]);
    format!("ssh {}", words.map(quote).collect::<Vec<_>>().join(" "))
}

/// What to do where ssh or sudo ended for a usual cause; for any other, to see for oneself.
fn advice(log: &[String], target: &SshTarget) -> String {
    let says = |words: &str| log.iter().any(|line| line.contains(words));
    let by_hand = by_hand(target);
    if says("IDENTIFICATION HAS CHANGED") {
        let host = quote(&target.host);
        format!(
            "another machine answers there, or it was installed anew; once you are sure that it is \
             yours, forget its old key with ssh-keygen -R {host} and accept the new one: {by_hand}"
        )
    } else if says("Host key verification failed") {
        format!("its host key is not known yet; log in once to accept it: {by_hand}")
    } else if says("Permission denied (") {
        format!(
            "the account accepts none of your keys; see ansible_user and \
             ansible_ssh_private_key_file, then try it by hand: {by_hand}"
        )
    } else if says("a password is required") || says("not in the sudoers file") {
        "allow the account sudo without a password (NOPASSWD), or log in as root".to_owned()
    } else {
        format!("try it by hand: {by_hand}")
    }
}

/// A process whose standard streams lead to an agent.
struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    stderr: Arc<Mutex<VecDeque<String>>>,
}

enum Conversation {
    Open(Session),
    Missing,
}

impl Conversation {
    fn session(self) -> Option<Session> {
        match self {
            Conversation::Open(session) => Some(session),
            Conversation::Missing => None,
        }
    }
}

impl Process {
    fn start(command: &mut Command) -> Result<Self, Failure> {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for the controller, which then ends the conversation in order.
            .process_group(0)
            .spawn()
            .map_err(|error| Failure::new(format!("cannot run {program}: {error}")))?;
        let stderr = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(stream) = child.stderr.take() {
            let kept = stderr.clone();
            tokio::spawn(async move {
                let mut lines = BufReader::new(stream).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    let mut kept = lock(&kept);
                    if kept.len() == KEPT_LINES {
                        kept.pop_front();
                    }
                    kept.push_back(line.trim_end().to_owned());
                }
            });
        }
        match (child.stdin.take(), child.stdout.take()) {
            (Some(stdin), Some(stdout)) => Ok(Self { child, stdin, stdout, stderr }),
            _ => Err(Failure::new(format!("cannot talk to {program}"))),
        }
    }

    /// Waits for the agent's first words until nobody has arrived for `opening`, which may be less than
    /// the whole limit.
    async fn converse(
        self,
        node: &NodeName,
        controller: &Controller,
        program: &'static str,
        opening: Duration,
    ) -> Result<Conversation, Failure> {
        let Self { mut child, stdin, mut stdout, stderr } = self;
        let Controller { build, limits, arrivals, .. } = controller;
        let limits = *limits;
        let printed = match opening_within(&mut stdout, MISSING, arrivals, opening).await {
            Ok(Opening::Agent) => {
                let greeted = Session::greet(node, build, stdout, stdin, limits);
                let Some(greeted) = arrivals.within(opening, greeted).await else {
                    let _ = child.start_kill();
                    return Err(late(node, opening, ""));
                };
                let session = greeted?;
                let epitaph = session.epitaph();
                tokio::spawn(async move {
                    let status = child.wait().await;
                    let failure = ending(program, status, &stderr, "");
                    *lock(&epitaph) = Some(failure);
                });
                return Ok(Conversation::Open(session));
            }
            Ok(Opening::Missing) => {
                drop(stdin);
                let _ = end(&mut child, limits.ending).await;
                return Ok(Conversation::Missing);
            }
            Ok(Opening::Late(printed)) => {
                let _ = child.start_kill();
                let mut failure = late(node, opening, &printed);
                failure.log.extend(lock(&stderr).iter().cloned());
                return Err(failure);
            }
            Ok(Opening::Ended(printed)) => printed,
            Err(error) => error.to_string(),
        };
        drop(stdin);
        let status = end(&mut child, limits.ending).await;
        // The reader of standard error may be a moment behind.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let failure = ending(program, status, &stderr, &printed);
        Err(Failure { message: format!("{node} is out of reach: {}", failure.message), ..failure })
    }
}

/// Copies all of a file; each part of it must be taken within the limit, however many there are.
async fn copy(
    mut file: tokio::fs::File,
    to: &mut ChildStdin,
    limit: Duration,
) -> std::io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let length = file.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        timeout(limit, to.write_all(&buffer[..length]))
            .await
            .map_err(|_| too_late("nothing was taken", limit))??;
    }
}

/// Waits for the end of a process that has nothing more to say, and ends it where that takes too long.
async fn end(child: &mut Child, limit: Duration) -> std::io::Result<ExitStatus> {
    if let Ok(status) = timeout(limit, child.wait()).await {
        return status;
    }
    let _ = child.start_kill();
    Err(too_late("it did not end", limit))
}

fn too_late(what: &str, limit: Duration) -> std::io::Error {
    std::io::Error::new(ErrorKind::TimedOut, format!("{what} within {} s", limit.as_secs_f32()))
}

fn ending(
    program: &str,
    status: std::io::Result<ExitStatus>,
    stderr: &Mutex<VecDeque<String>>,
    printed: &str,
) -> Failure {
    let log: Vec<String> = lock(stderr).iter().cloned().collect();
    let status = match status {
        Ok(status) => format!("{program} ended with {status}"),
        Err(error) => format!("{program}: {error}"),
    };
    let mut message = match log.iter().rev().find(|line| !line.is_empty()) {
        Some(line) => line.clone(),
        None => status,
    };
    if !printed.is_empty() {
        let first = printed.lines().next().unwrap_or_default();
        message = format!("{message}; instead of the agent, the login printed `{first}`");
    }
    Failure { message, log, hint: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_causes_have_an_advice_of_their_own() {
        let target = SshTarget {
            host: "10.10.10.11".to_owned(),
            port: None,
            user: Some("dba".to_owned()),
            private_key_file: None,
            arguments: Vec::new(),
            become_root: Become::IfNeeded,
        };
        let advice = |line: &str| advice(&[line.to_owned()], &target);
        let changed = "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @";
        assert!(advice(changed).contains("ssh-keygen -R 10.10.10.11"));
        assert!(advice("Host key verification failed.").contains("accept it: ssh -l dba"));
        assert!(advice("dba@h: Permission denied (publickey).").contains("ansible_user"));
        assert!(advice("sudo: a password is required").contains("NOPASSWD"));
        let other = advice("ssh: connect to host 10.10.10.11 port 22: No route to host");
        assert_eq!(other, "try it by hand: ssh -l dba 10.10.10.11 true");
    }
}
