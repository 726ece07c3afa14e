//! Which programs run, beside those that are on the disk now: an upgrade of a package replaces a file, and
//! who was started from the old one goes on with that.

use crate::command::Command;
use keddah_resource::health::Replaced;
use std::fs;
use std::path::Path;

/// What the kernel puts behind the path of a file that is gone (proc(5), `/proc/PID/exe`).
const GONE: &str = " (deleted)";

/// Where Debian's packages have Patroni's version.
const PATRONI: &str = "/usr/lib/python3/dist-packages/patroni/version.py";

/// The program of a process, where it is no longer the one on the disk.
pub(super) fn replaced(pid: u32) -> Option<String> {
    if pid == 0 {
        return None;
    }
    let program = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    Some(program.to_str()?.strip_suffix(GONE)?.to_owned())
}

/// The program of a server, where it is no longer the one on the disk; only that one is asked for its
/// version, which costs a process.
pub(super) async fn server(data_directory: &str) -> Option<Replaced> {
    let text = fs::read_to_string(Path::new(data_directory).join("postmaster.pid")).ok()?;
    let path = replaced(text.lines().next()?.trim().parse().ok()?)?;
    let said = Command::new(&path).arg("--version").succeed().await;
    Some(Replaced { version: said.ok().and_then(|said| version(&said)), path })
}

/// `17.6` of `postgres (PostgreSQL) 17.6 (Debian 17.6-1.pgdg13+1)`.
fn version(said: &str) -> Option<String> {
    let (_, rest) = said.split_once("(PostgreSQL) ")?;
    rest.split_whitespace().next().map(str::to_owned)
}

/// The version of Patroni that is installed; `None` where that is not Debian's package.
pub(super) fn patroni() -> Option<String> {
    of_python(&fs::read_to_string(PATRONI).ok()?)
}

/// `4.0.7` of the line `__version__ = '4.0.7'`.
fn of_python(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix("__version__"))?;
    let value = line.trim_start_matches([' ', '=']).trim();
    Some(value.trim_matches(['\'', '"']).to_owned()).filter(|version| !version.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_program_that_was_replaced_is_told_and_another_one_is_not() {
        assert_eq!(replaced(std::process::id()), None);
        assert_eq!(replaced(0), None);
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("program");
        fs::copy("/usr/bin/sleep", &path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let mut child = std::process::Command::new(&path).arg("60").spawn().unwrap();
        let before = replaced(child.id());
        // As dpkg does: a new file takes the old one's name.
        let new = scratch.path().join("program.new");
        fs::copy("/usr/bin/sleep", &new).unwrap();
        fs::rename(&new, &path).unwrap();
        let after = replaced(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!((before, after.as_deref()), (None, path.to_str()));
    }

    #[test]
    fn versions_are_read_as_programs_write_them() {
        let said = "postgres (PostgreSQL) 17.6 (Debian 17.6-1.pgdg13+1)\n";
        assert_eq!(version(said).as_deref(), Some("17.6"));
        let text = "\"\"\"The version.\"\"\"\n__version__ = '4.0.7'\n";
        assert_eq!(of_python(text).as_deref(), Some("4.0.7"));
        assert_eq!(of_python("nothing"), None);
    }
}
