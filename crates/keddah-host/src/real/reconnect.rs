//! Ends connections of a service's process from outside, so that it connects anew: with the certificate
//! that its files have now, where a connection lasts as whom the certificate of its beginning named.
//!
//! A restart of the other end does the same, but not as well: Patroni takes what a member of etcd says
//! while it stops ("malformed header") for an answer, and gives up its primary. A connection that has ended
//! is only that: Patroni opens the next, at its next turn.

use crate::HostError;
use crate::command::Command;
use rustix::io::Errno;
use rustix::net::{Shutdown, getpeername, shutdown};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Where systemd lists a service's processes.
const SERVICES: &str = "/sys/fs/cgroup/system.slice";

/// How long a connection that was ended may still be listed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reloads a unit, and when it has had the time to settle, ends the connections of its processes to these
/// addresses, and sees to it that none of them lasts.
///
/// # Errors
/// When one does.
pub(super) async fn connect_anew(
    unit: &str,
    peers: &[SocketAddr],
    settled: Duration,
) -> Result<(), HostError> {
    // A unit that does not run has no such file, and no connection.
    let processes =
        fs::read_to_string(format!("{SERVICES}/{unit}/cgroup.procs")).unwrap_or_default();
    let processes: Vec<Pid> = processes
        .lines()
        .filter_map(|line| line.trim().parse().ok())
        .filter_map(Pid::from_raw)
        .collect();
    if processes.is_empty() {
        return Ok(());
    }
    Command::new("systemctl").args(["reload", unit]).succeed().await?;
    sleep(settled).await;
    let before = established(&processes, peers).await?;
    // A container may keep its root from that (`pidfd_getfd`), and not from the other way, which needs
    // `CONFIG_INET_DIAG_DESTROY`, as Debian's kernels have it. What counts is the outcome.
    let ended = processes.iter().map(|&pid| disconnect(pid, peers));
    if ended.into_iter().any(|ended| matches!(ended, Err(error) if error != Errno::SRCH)) {
        for connection in &before {
            destroy(connection).await;
        }
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = established(&processes, peers).await?;
        let lasting: Vec<&str> = before.intersection(&now).map(|one| one.own.as_str()).collect();
        if lasting.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(HostError::new(format!(
                "{unit} stays connected to etcd as before, from {}",
                lasting.join(", ")
            ))
            .with_hint(
                "neither pidfd_getfd nor `ss -K` is allowed here: restart this Patroni (keddah restart), \
                 then apply again",
            ));
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// A connection by its two ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Connection {
    own: String,
    peer: String,
}

/// The connections of these processes to these addresses.
async fn established(
    processes: &[Pid],
    peers: &[SocketAddr],
) -> Result<BTreeSet<Connection>, HostError> {
    let command = Command::new("ss").args(["-H", "-t", "-n", "-p", "state", "established"]);
    let output = command.succeed().await?;
    Ok(connections(&output, processes, peers))
}

/// From lines of Recv-Q, Send-Q, own address and port, peer's address and port, and processes. etcd's own
/// gateway is connected to these addresses, too, where a member stands on the same node.
fn connections(output: &str, processes: &[Pid], peers: &[SocketAddr]) -> BTreeSet<Connection> {
    let owners: Vec<String> =
        processes.iter().map(|pid| format!(",pid={},", pid.as_raw_nonzero())).collect();
    let found = output.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, _, own, peer, users, ..] = words.as_slice() else { return None };
        let is_wanted = peers.contains(&peer.parse().ok()?)
            && owners.iter().any(|owner| users.contains(owner.as_str()));
        is_wanted.then(|| Connection { own: (*own).to_owned(), peer: (*peer).to_owned() })
    });
    found.collect()
}

async fn destroy(connection: &Connection) {
    let Connection { own, peer } = connection;
    let command = Command::new("ss").args(["-K", "-t", "-n", "src", own, "dst", peer]);
    // Whether it could is seen by what is left.
    let _ = command.succeed().await;
}

/// How many there were.
fn disconnect(pid: Pid, peers: &[SocketAddr]) -> Result<usize, Errno> {
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    let directory = format!("/proc/{}/fd", pid.as_raw_nonzero());
    let mut ended = 0;
    // One that goes meanwhile is connected to nobody.
    for entry in fs::read_dir(directory).map_err(|_| Errno::SRCH)?.flatten() {
        let is_socket = fs::read_link(entry.path())
            .is_ok_and(|target| target.to_string_lossy().starts_with("socket:"));
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let (true, Some(number)) = (is_socket, number) else { continue };
        let socket = match pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) {
            Ok(socket) => socket,
            Err(Errno::BADF) => continue,
            Err(error) => return Err(error),
        };
        let Ok(peer) = getpeername(&socket) else { continue };
        if peer
            .and_then(|peer| SocketAddr::try_from(peer).ok())
            .is_some_and(|peer| peers.contains(&peer))
        {
            match shutdown(&socket, Shutdown::Both) {
                Ok(()) => ended += 1,
                Err(Errno::NOTCONN) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_is_known_by_its_process_and_its_peer() {
        let output = "0 0 10.10.10.11:33660  10.10.10.12:2379 users:((\"patroni\",pid=462,fd=4))\n\
                      0 0 10.10.10.11:33661  10.10.10.12:2379 users:((\"etcd\",pid=360,fd=20))\n\
                      0 0 10.10.10.11:33662  10.10.10.12:2379 users:((\"x\",pid=4620,fd=9))\n\
                      0 0 10.10.10.11:33663  10.10.10.12:5432 users:((\"patroni\",pid=462,fd=5))\n\
                      0 0 10.10.10.11:2379  10.10.10.12:40000\n";
        let peers = ["10.10.10.12:2379".parse().unwrap()];
        let found = connections(output, &[Pid::from_raw(462).unwrap()], &peers);
        let own: Vec<&str> = found.iter().map(|one| one.own.as_str()).collect();
        assert_eq!(own, ["10.10.10.11:33660"]);
    }

    #[test]
    fn connections_to_the_named_addresses_end_and_others_last() {
        let (named, other) =
            (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let mut ends = TcpStream::connect(named.local_addr().unwrap()).unwrap();
        let lasts = TcpStream::connect(other.local_addr().unwrap()).unwrap();
        // The other sides, which would otherwise be this process's connections, too.
        let (_one, _another) = (named.accept().unwrap(), other.accept().unwrap());
        let me = rustix::process::getpid();
        match disconnect(me, &[named.local_addr().unwrap()]) {
            Err(Errno::PERM | Errno::NOSYS) => return,
            ended => assert_eq!(ended, Ok(1)),
        }
        assert_eq!(ends.read(&mut [0]).unwrap(), 0, "it has ended");
        lasts.set_nonblocking(true).unwrap();
        let still = (&lasts).read(&mut [0]).unwrap_err();
        assert_eq!(still.kind(), std::io::ErrorKind::WouldBlock, "it lasts");
    }
}
