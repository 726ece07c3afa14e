//! A real server's files: stopped in order, stopped as by a loss of power, and promoted.

use super::*;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Command as Program;

struct Server {
    _scratch: tempfile::TempDir,
    programs: PathBuf,
    data: PathBuf,
    owner: String,
}

impl Server {
    fn make() -> Self {
        let mut versions: Vec<u32> = fs::read_dir("/usr/lib/postgresql")
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
            .collect();
        versions.sort_unstable();
        let newest = versions.pop().expect("PostgreSQL is not installed");
        let programs = PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin"));
        let scratch = tempfile::tempdir().unwrap();
        let root = rustix::process::getuid().is_root();
        let owner = if root { "postgres" } else { "" }.to_owned();
        if root {
            let accounts = super::super::accounts::Accounts::read().unwrap();
            let user = accounts.user("postgres").expect("an account of PostgreSQL's");
            chown(scratch.path(), Some(user.uid), Some(user.gid)).unwrap();
        }
        let data = scratch.path().join("data");
        let server = Self { _scratch: scratch, programs, data, owner };
        let data = server.data.to_str().unwrap().to_owned();
        server.run("initdb", &["--no-sync", "-A", "trust", "-D", &data]);
        server
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let program = self.programs.join(program);
        let mut command = if self.owner.is_empty() {
            Program::new(&program)
        } else {
            let mut command = Program::new("runuser");
            command.args(["-u", &self.owner, "--"]).arg(&program);
            command
        };
        let command = command.args(arguments).current_dir("/").env("LC_ALL", "C");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{program:?}: {said}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn socket(&self) -> String {
        self.data.parent().unwrap().to_str().unwrap().to_owned()
    }

    fn start(&self) {
        let options =
            format!("-c listen_addresses= -c unix_socket_directories={} -p 5499", self.socket());
        let log = format!("{}/log", self.socket());
        let data = self.data.to_str().unwrap();
        self.run("pg_ctl", &["-s", "-w", "-D", data, "-l", &log, "-o", &options, "start"]);
    }

    fn stop(&self, how: &str) {
        self.run("pg_ctl", &["-s", "-w", "-D", self.data.to_str().unwrap(), "-m", how, "stop"]);
    }

    fn ask(&self, sql: &str) -> String {
        let socket = self.socket();
        let rest = ["-X", "-q", "-A", "-t", "-h", &socket, "-p", "5499", "-d", "postgres", "-c", sql];
        self.run("psql", &rest)
    }

    fn flushed(&self) -> u64 {
        position(&self.ask("SELECT pg_current_wal_flush_lsn()")).unwrap()
    }

    async fn end(&self) -> WalEnd {
        let accounts = super::super::accounts::Accounts::read().unwrap();
        let facts = super::super::instance_facts::data_at(&self.data, &accounts).unwrap();
        read(&facts.expect("initdb made it")).await.unwrap().expect("it has WAL")
    }
}

#[tokio::test]
async fn the_end_of_a_stopped_servers_wal_is_read_from_its_files() {
    let server = Server::make();
    server.start();
    server.ask("CREATE TABLE kept (n int)");
    server.stop("fast");
    let clean = server.end().await;
    let control = server.run("pg_controldata", &[server.data.to_str().unwrap()]);
    let line = control.lines().find_map(|line| line.strip_prefix("Latest checkpoint location:"));
    let checkpoint = position(line.unwrap().trim()).unwrap();
    assert!(clean.exact && clean.timeline == 1 && clean.forks.is_empty(), "{clean}");
    let record = clean.position - checkpoint;
    assert!((100..200).contains(&record), "{clean}, a checkpoint's record of {record} bytes");

    // What comes after the last checkpoint of a server that lost its power, also over some segments.
    server.start();
    let mut last = clean;
    for segments in 0..3 {
        for _ in 0..segments {
            server.ask("INSERT INTO kept VALUES (0); SELECT pg_switch_wal()");
        }
        server.ask("INSERT INTO kept SELECT generate_series(1, 500)");
        let flushed = server.flushed();
        server.stop("immediate");
        let crashed = server.end().await;
        assert!(crashed.exact && crashed.position >= flushed, "{crashed} before {flushed:X}");
        assert!(crashed.position < flushed + 10_000, "{crashed} far behind {flushed:X}");
        assert!(crashed.holds(&last) && !last.holds(&crashed));
        last = crashed;
        server.start();
    }
    // Nothing but whole segments: the record of the switch is there, and nothing after it.
    server.ask("INSERT INTO kept VALUES (0)");
    let flushed = server.flushed();
    server.ask("SELECT pg_switch_wal()");
    server.stop("immediate");
    let whole = server.end().await;
    assert!(whole.exact && whole.position > flushed, "{whole} before {flushed:X}");
    assert!(whole.holds(&last));

    // Another timeline, which left this one at its end.
    fs::write(server.data.join("standby.signal"), "").unwrap();
    server.start();
    server.ask("SELECT pg_promote()");
    server.ask("INSERT INTO kept VALUES (1)");
    server.stop("fast");
    let promoted = server.end().await;
    assert_eq!((promoted.timeline, promoted.forks.len()), (2, 1), "{promoted}");
    assert!(promoted.holds(&whole) && promoted.holds(&last) && !whole.holds(&promoted));
    let more = WalEnd { position: promoted.forks[0].1 + 1, ..last };
    assert!(!promoted.holds(&more), "what the old timeline had beyond the fork is its own");
}

#[test]
fn what_pg_waldump_says_where_it_ends() {
    const SIZE: u64 = 16 << 20;
    let said = |text: &str| end_of(text, SIZE);
    for text in [
        "pg_waldump: error: error in WAL record at 0/3000110: invalid record length at 0/3000148: wanted 24, got 0\n",
        "pg_waldump: error: error in WAL record at 0/3000110: invalid record length at 0/3000148: expected at least 24, got 0\n",
        "pg_waldump: error: error in WAL record at 0/3000110: record with incorrect prev-link 6F/73000000 at 0/3000148\n",
        "pg_waldump: error: error in WAL record at 0/3000110: incorrect resource manager data checksum in record at 0/3000148\n",
    ] {
        assert_eq!(said(text), Some(0x300_0148), "{text}");
    }
    let page = "pg_waldump: error: error in WAL record at 0/3001FD8: invalid magic number 0000 in WAL segment \
                000000010000000000000003, LSN 0/3002000, offset 8192\n";
    assert_eq!(said(page), Some(0x300_1FD9));
    let file = "pg_waldump: error: could not find file \"0000000200000001000000A0\": No such file or directory\n";
    assert_eq!(said(file), Some(0x1_A000_0000));
    assert_eq!(said("pg_waldump: error: could not find a valid record after 0/3000000\n"), None);
    assert_eq!(said("pg_waldump: error: error in WAL record at 0/0: invalid\n"), None);
    assert_eq!(said(""), None);
}
