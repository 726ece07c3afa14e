//! A PostgreSQL server of its own for one test: made by initdb, reached by a socket alone, gone
//! with the test even when that is killed.

#![allow(dead_code, reason = "each test crate uses its own part")]

pub mod specs;

use keddah_host::sql::{Purpose, Session, Unreachable};
use keddah_host::{Host, RealHost};
use keddah_resource::kind::PgConnection;
use keddah_resource::{Difference, Observation, Observed, Spec};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Whether PostgreSQL's tests are left out on purpose.
pub fn skipped() -> bool {
    #[expect(
        clippy::disallowed_methods,
        reason = "a switch for those who build without PostgreSQL"
    )]
    let skip = std::env::var("KEDDAH_SKIP_POSTGRESQL");
    skip.is_ok_and(|value| value == "1")
}

/// The newest installed server's programs.
pub fn programs() -> PathBuf {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            let programs = entry.path().join("bin");
            programs.join("initdb").exists().then_some((version, programs))
        })
        .collect();
    versions.sort();
    let newest = versions.pop().map(|(_, programs)| programs);
    newest.expect("PostgreSQL is not installed; KEDDAH_SKIP_POSTGRESQL=1 leaves its tests out")
}

pub struct Server {
    pub directory: TempDir,
    pub connection: PgConnection,
    pub host: RealHost,
    process: Option<Child>,
}

impl Server {
    /// A running server with these extra lines in its configuration.
    pub async fn start(configuration: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("keddah-pg-").tempdir().unwrap();
        let superuser = if is_root() { "postgres".to_owned() } else { own_name() };
        if is_root() {
            let status =
                Command::new("chown").arg("postgres:").arg(directory.path()).status().unwrap();
            assert!(status.success());
        }
        let data = directory.path().join("data");
        let made = as_superuser(&programs().join("initdb"))
            .args([
                "--no-sync",
                "-A",
                "peer",
                "-E",
                "UTF8",
                "--locale",
                "C.UTF-8",
                "-U",
                &superuser,
            ])
            .arg("-D")
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let settings = format!(
            "listen_addresses = ''\nunix_socket_directories = '{}'\nport = 5499\nfsync = off\n\
             logging_collector = on\nlog_directory = 'log'\nlog_filename = 'all.log'\n{configuration}\n",
            directory.path().display()
        );
        append(&data.join("postgresql.conf"), &settings);
        let connection = PgConnection {
            socket_directory: directory.path().to_str().unwrap().to_owned(),
            port: 5499,
            superuser,
        };
        let host = RealHost::new(directory.path().join("state"));
        let mut server = Self { directory, connection, host, process: None };
        server.launch().await;
        server
    }

    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Starts the server process and waits until it answers.
    pub async fn launch(&mut self) {
        let child = as_superuser(&programs().join("postgres"))
            .arg("-D")
            .arg(self.data())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(child);
        for _ in 0..300 {
            match Session::open(&self.connection, "postgres", Purpose::Observe).await {
                Ok(_) => return,
                Err(Unreachable::NotYet { .. }) => {}
                Err(Unreachable::KeptOut(error) | Unreachable::Failed(error)) => {
                    panic!("{error} {:?}", error.log)
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server did not start: {}", self.log());
    }

    /// Ends the server at once, in a way that needs no recovery.
    pub fn stop(&mut self) {
        let Some(mut child) = self.process.take() else { return };
        let pid = rustix::process::Pid::from_child(&child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        let _ = child.wait();
    }

    /// All that the server wrote to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data().join("log/all.log")).unwrap_or_default()
    }

    /// A session for the test itself.
    pub async fn session(&self, database: &str) -> Session {
        Session::open(&self.connection, database, Purpose::Change).await.unwrap()
    }

    /// One value from a database.
    pub async fn value(&self, database: &str, query: &str) -> String {
        self.session(database).await.scalar(query).await.unwrap().unwrap_or_default()
    }

    pub async fn observe(&self, spec: &Spec) -> Observation {
        let mut answers = self.host.observe(std::slice::from_ref(spec)).await;
        answers.pop().unwrap().unwrap_or_else(|error| panic!("{error} {:?}", error.log))
    }

    pub async fn known(&self, spec: &Spec) -> Observed {
        match self.observe(spec).await {
            Observation::Known(observed) => observed,
            Observation::NotYet { because } => panic!("{} is not yet: {because}", spec.name()),
        }
    }

    pub async fn difference(&self, spec: &Spec) -> Option<Difference> {
        spec.diff(&self.known(spec).await)
    }

    /// Applies a spec as an agent does; says whether something had to be changed.
    pub async fn converge(&self, spec: &Spec) -> Result<bool, keddah_host::HostError> {
        let observed = self.known(spec).await;
        let Some(difference) = spec.diff(&observed) else { return Ok(false) };
        self.host.apply(spec, &observed, &difference, None).await?;
        let left = self.difference(spec).await;
        assert_eq!(left, None, "{} still differs", spec.name());
        Ok(true)
    }

    pub async fn converges(&self, spec: impl Into<Spec>) {
        let spec = spec.into();
        match self.converge(&spec).await {
            Ok(changed) => assert!(changed, "{} had nothing to change", spec.name()),
            Err(error) => panic!("{}: {error} {:?}\n{}", spec.name(), error.log, self.log()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn own_name() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A program that runs as the superuser's account and ends with this process.
pub fn as_superuser(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "INT"]);
    if is_root() {
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
    }
    command.arg("--").arg(program).current_dir("/");
    command
}

pub fn append(path: &Path, text: &str) {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
