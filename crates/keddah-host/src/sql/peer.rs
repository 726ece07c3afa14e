//! A Unix socket to PostgreSQL that was opened as another operating system account.
//!
//! PostgreSQL's `peer` authentication asks the kernel who called `connect()`. The agent is root,
//! so one thread of its own takes the account's identity, connects, and ends; the rest of the
//! process stays root.

use rustix::process::{Gid, Uid, geteuid};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// The socket of a server.
pub(super) fn socket_path(directory: &str, port: u16) -> PathBuf {
    Path::new(directory).join(format!(".s.PGSQL.{port}"))
}

/// Connects to a socket as an account of this machine.
pub(super) async fn connect_as(path: PathBuf, account: &str) -> io::Result<UnixStream> {
    let (uid, gid) = identity(&tokio::fs::read_to_string("/etc/passwd").await?, account)
        .ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("/etc/passwd has no account {account}"))
        })?;
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("keddah-peer".to_owned()).spawn(move || {
        // The receiver is gone only when the caller was cancelled.
        let _ = sender.send(assume(uid, gid).and_then(|()| UnixStream::connect(path)));
    })?;
    receiver.await.map_err(io::Error::other)?
}

/// Takes the account's identity for the calling thread alone; these are the kernel's calls, not
/// the C library's, which would change all threads.
fn assume(uid: Uid, gid: Gid) -> io::Result<()> {
    if geteuid() == uid {
        return Ok(());
    }
    rustix::thread::set_thread_groups(&[gid])?;
    rustix::thread::set_thread_res_gid(None, gid, None)?;
    rustix::thread::set_thread_res_uid(None, uid, None)?;
    Ok(())
}

/// Reads `/etc/passwd` itself: a name service lookup would load modules of the node's C library.
fn identity(passwd: &str, account: &str) -> Option<(Uid, Gid)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != account {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some((Uid::from_raw(uid), Gid::from_raw(gid)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
                          broken line\n\
                          postgres:x:26:27::/var/lib/postgresql:/bin/bash\n";

    #[test]
    fn accounts_are_found_by_name() {
        let found = identity(PASSWD, "postgres");
        assert_eq!(found, Some((Uid::from_raw(26), Gid::from_raw(27))));
        assert_eq!(identity(PASSWD, "post"), None);
    }
}
