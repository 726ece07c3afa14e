//! Accounts, by the distribution's own tools, and the keys that may log in to them.

use super::accounts::{Accounts, Ownership, User};
use super::write::{on_disk, parent, replace, set_ownership};
use crate::command::Command;
use crate::{HostError, RealHost};
use keddah_resource::kind::user::{Account, Observed, Spec};
use keddah_resource::{Difference, Observation};
use rustix::fs::{Gid, Uid};
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Ids below this one are for the system's own accounts (Debian policy, 9.2.2).
const FIRST_ORDINARY_ID: u32 = 1000;

/// What `usermod` exits with when the account has processes.
const ACCOUNT_IN_USE: i32 = 8;

/// Looks at accounts.
pub async fn observe(_host: &RealHost, specs: &[&Spec]) -> Vec<Result<Observation, HostError>> {
    let accounts = match Accounts::read() {
        Ok(accounts) => accounts,
        Err(error) => return specs.iter().map(|_| Err(error.clone())).collect(),
    };
    specs
        .iter()
        .map(|spec| look(spec, &accounts).map(|found| Observation::Known(found.into())))
        .collect()
}

fn look(spec: &Spec, accounts: &Accounts) -> Result<Observed, HostError> {
    let Some(user) = accounts.user(&spec.account) else { return Ok(Observed { present: None }) };
    let groups = accounts.groups.iter();
    let groups = groups.filter(|group| group.members.contains(&spec.account));
    Ok(Observed {
        present: Some(Account {
            home: user.home.clone(),
            shell: user.shell.clone(),
            groups: groups.map(|group| group.name.clone()).collect(),
            authorized_keys: read_keys(&keys_path(&spec.home))?
                .lines()
                .map(|line| line.trim().to_owned())
                .filter(|line| !line.is_empty())
                .collect(),
        }),
    })
}

fn keys_path(home: &str) -> PathBuf {
    Path::new(home).join(".ssh/authorized_keys")
}

fn read_keys(path: &Path) -> Result<String, HostError> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(String::new())
        }
        Err(error) => Err(HostError::path("read", path, &error)),
    }
}

/// Makes an account, or changes what differs.
pub async fn apply(
    _host: &RealHost,
    spec: &Spec,
    _observed: &Observed,
    _difference: &Difference,
) -> Result<(), HostError> {
    let accounts = Accounts::read()?;
    for group in &spec.groups {
        if accounts.group(group).is_none() {
            Command::new("groupadd").args(["--system", "--", group]).succeed().await?;
        }
    }
    match accounts.user(&spec.account) {
        None => create(spec, &accounts).await?,
        Some(user) => modify(spec, user, &accounts).await?,
    }
    if spec.authorized_keys.is_empty() {
        return Ok(());
    }
    let spec = spec.clone();
    on_disk(move || {
        let accounts = Accounts::read()?;
        let user = accounts.user(&spec.account).ok_or_else(|| {
            HostError::new(format!("the account {} was made but is not there", spec.account))
        })?;
        add_keys(&spec, user)
    })
    .await
}

async fn create(spec: &Spec, accounts: &Accounts) -> Result<(), HostError> {
    let Spec { account, uid, home, shell, groups, authorized_keys: _ } = spec;
    let system = uid.is_some_and(|uid| uid < FIRST_ORDINARY_ID);
    if accounts.group(account).is_none() {
        // The group has the account's number where that is free, as is the custom.
        let free = |id: &u32| accounts.groups.iter().all(|group| group.gid != *id);
        let mut command = Command::new("groupadd");
        if let Some(gid) = uid.filter(free) {
            command = command.args(["--gid", &gid.to_string()]);
        }
        if system {
            command = command.arg("--system");
        }
        command.args(["--", account]).succeed().await?;
    }
    if let Some(uid) = uid
        && let Some(other) = accounts.users.iter().find(|user| user.uid == *uid)
    {
        return Err(HostError::new(format!(
            "{account} cannot have the number {uid}: it is that of {}",
            other.name
        ))
        .with_hint("declare another number for the account"));
    }
    let mut command = Command::new("useradd").args([
        "--gid",
        account,
        "--home-dir",
        home,
        "--shell",
        shell,
        "--create-home",
    ]);
    if let Some(uid) = uid {
        command = command.args(["--uid", &uid.to_string()]);
    }
    if system {
        // What a login shell reads belongs to people: a service's home stays empty.
        command = command.args(["--system", "--skel", "/nonexistent"]);
    }
    if !groups.is_empty() {
        command = command.args(["--groups", &groups.join(",")]);
    }
    fs::create_dir_all(parent(Path::new(home)))
        .map_err(|error| HostError::path("make the home", Path::new(home), &error))?;
    command.args(["--", account]).succeed().await.map(drop)
}

async fn modify(spec: &Spec, user: &User, accounts: &Accounts) -> Result<(), HostError> {
    let Spec { account, uid: _, home, shell, groups, authorized_keys: _ } = spec;
    let mut command = Command::new("usermod");
    let mut changes = false;
    if user.shell != *shell {
        command = command.args(["--shell", shell]);
        changes = true;
    }
    let is_member = |group: &&String| {
        accounts.group(group).is_some_and(|group| group.members.contains(account))
    };
    let joins: Vec<&str> =
        groups.iter().filter(|group| !is_member(group)).map(String::as_str).collect();
    if !joins.is_empty() {
        command = command.args(["--append", "--groups", &joins.join(",")]);
        changes = true;
    }
    if changes {
        command.args(["--", account]).succeed().await?;
    }
    // By itself, so that processes that hold up this change do not hold up the others.
    if user.home != *home {
        let command = Command::new("usermod").args(["--home", home, "--", account]);
        let output = command.run().await?;
        if output.code == ACCOUNT_IN_USE {
            return Err(HostError::new(format!(
                "the home of {account} cannot change from {} to {home} while processes run as it",
                user.home
            ))
            .with_log(&output.stderr)
            .with_hint(format!(
                "stop the services that run as {account} first, or declare {} as its home",
                user.home
            )));
        } else if output.code != 0 {
            return Err(command.failure(&output));
        }
    }
    Ok(())
}

/// Adds the keys that are missing, and leaves everybody else's.
fn add_keys(spec: &Spec, user: &User) -> Result<(), HostError> {
    let path = keys_path(&spec.home);
    let ownership =
        |mode| Ownership { uid: Uid::from_raw(user.uid), gid: Gid::from_raw(user.gid), mode };
    own_directory(Path::new(&spec.home), ownership(0o755), user)?;
    own_directory(parent(&path), ownership(0o700), user)?;
    let mut text = read_keys(&path)?;
    for key in &spec.authorized_keys {
        if !text.lines().any(|line| line.trim() == key) {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(key);
            text.push('\n');
        }
    }
    replace(&path, text.as_bytes(), ownership(0o600))
}

/// Makes a directory for an account. One that is there must belong to the account or to root and be
/// no link: otherwise the account could lead what root writes to wherever it likes.
fn own_directory(path: &Path, ownership: Ownership, user: &User) -> Result<(), HostError> {
    let failed = |error: io::Error| HostError::path("make", path, &error);
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() && (found.uid() == 0 || found.uid() == user.uid) => Ok(()),
        Ok(_) => Err(HostError::new(format!(
            "{} is not a directory of {} or root; no key is written there",
            path.display(),
            user.name
        ))),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            DirBuilder::new().mode(0o700).create(path).map_err(failed)?;
            let directory = File::open(path).map_err(failed)?;
            set_ownership(&directory, ownership).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{getegid, geteuid};

    #[test]
    fn keys_are_added_once_and_others_stay() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("home");
        let user = User {
            name: "me".to_owned(),
            uid: geteuid().as_raw(),
            gid: getegid().as_raw(),
            home: home.display().to_string(),
            shell: "/bin/sh".to_owned(),
        };
        let spec = Spec {
            account: "me".to_owned(),
            uid: None,
            home: user.home.clone(),
            shell: user.shell.clone(),
            groups: Vec::new(),
            authorized_keys: vec!["ssh-ed25519 AAAA one".to_owned(), "ssh-rsa BBBB".to_owned()],
        };
        add_keys(&spec, &user).unwrap();
        let path = keys_path(&spec.home);
        fs::write(&path, "ssh-rsa CCCC other\nssh-rsa BBBB").unwrap();
        add_keys(&spec, &user).unwrap();
        add_keys(&spec, &user).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "ssh-rsa CCCC other\nssh-rsa BBBB\nssh-ed25519 AAAA one\n"
        );
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o7777, 0o700);
    }
}
