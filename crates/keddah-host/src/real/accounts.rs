//! The accounts and groups of this machine, from its own two files.
//!
//! The C library's name service is not asked: it may go over the network, and a statically linked
//! executable has none.

use crate::HostError;
use keddah_resource::kind::directory::Permissions;
use rustix::fs::{Gid, Uid};
use std::fs;
use std::path::Path;

/// One line of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub home: String,
    pub shell: String,
}

/// One line of `/etc/group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub name: String,
    pub gid: u32,
    pub members: Vec<String>,
}

/// Who owns a path, and what others may do with it, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ownership {
    pub uid: Uid,
    pub gid: Gid,
    pub mode: u32,
}

/// All accounts and groups at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accounts {
    pub users: Vec<User>,
    pub groups: Vec<Group>,
}

impl Accounts {
    /// Reads both files.
    pub fn read() -> Result<Self, HostError> {
        let text = |path: &str| {
            fs::read(path)
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .map_err(|error| HostError::path("read", Path::new(path), &error))
        };
        Ok(Self::parse(&text("/etc/passwd")?, &text("/etc/group")?))
    }

    /// Reads both formats; lines that are no entries (such as `+` of old name services) are left
    /// out, as the C library does.
    pub fn parse(passwd: &str, group: &str) -> Self {
        let users = passwd.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, uid, gid, _, home, shell] = fields[..] else { return None };
            Some(User {
                name: name.to_owned(),
                uid: uid.parse().ok()?,
                gid: gid.parse().ok()?,
                home: home.to_owned(),
                shell: shell.to_owned(),
            })
        });
        let groups = group.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, gid, members] = fields[..] else { return None };
            let members = members.split(',').filter(|member| !member.is_empty());
            Some(Group {
                name: name.to_owned(),
                gid: gid.parse().ok()?,
                members: members.map(str::to_owned).collect(),
            })
        });
        Self { users: users.collect(), groups: groups.collect() }
    }

    /// The account of a name.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    /// The group of a name.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// The permissions in names; an id without a name is shown in digits.
    pub fn permissions(&self, uid: u32, gid: u32, mode: u32) -> Permissions {
        let user = self.users.iter().find(|user| user.uid == uid);
        let group = self.groups.iter().find(|group| group.gid == gid);
        Permissions {
            owner: user.map_or_else(|| uid.to_string(), |user| user.name.clone()),
            group: group.map_or_else(|| gid.to_string(), |group| group.name.clone()),
            mode: mode & 0o7777,
        }
    }

    /// The permissions in numbers.
    ///
    /// # Errors
    /// When the account or group does not exist (yet).
    pub fn ownership(&self, permissions: &Permissions) -> Result<Ownership, HostError> {
        let Permissions { owner, group, mode } = permissions;
        let uid = self.user(owner).map(|user| user.uid).or_else(|| owner.parse().ok());
        let gid = self.group(group).map(|group| group.gid).or_else(|| group.parse().ok());
        let missing = |what: &str, name: &str| {
            HostError::new(format!("the {what} {name} does not exist on this node")).with_hint(
                "it comes with a package or a declared account; see whether that one has failed",
            )
        };
        Ok(Ownership {
            uid: Uid::from_raw(uid.ok_or_else(|| missing("account", owner))?),
            gid: Gid::from_raw(gid.ok_or_else(|| missing("group", group))?),
            mode: *mode,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts::parse(
            "root:x:0:0:root:/root:/bin/bash\n+::::::\npostgres:x:26:27:PG,,,:/var/lib/pg:/bin/sh\n",
            "root:x:0:\npostgres:x:27:\nssl-cert:x:101:postgres,etcd\n",
        )
    }

    #[test]
    fn names_and_numbers_go_both_ways() {
        let accounts = accounts();
        assert_eq!(accounts.users.len(), 2);
        assert_eq!(accounts.group("ssl-cert").unwrap().members, ["postgres", "etcd"]);
        let permissions = accounts.permissions(26, 101, 0o100_640);
        assert_eq!(permissions, Permissions::new("postgres", "ssl-cert", 0o640));
        let back = accounts.ownership(&permissions).unwrap();
        assert_eq!((back.uid.as_raw(), back.gid.as_raw(), back.mode), (26, 101, 0o640));
    }

    #[test]
    fn an_unknown_id_is_shown_in_digits_and_understood_again() {
        let permissions = accounts().permissions(4711, 0, 0o600);
        assert_eq!(permissions.owner, "4711");
        assert_eq!(accounts().ownership(&permissions).unwrap().uid.as_raw(), 4711);
    }

    #[test]
    fn an_account_that_is_not_there_yet_is_named() {
        let error = accounts().ownership(&Permissions::new("etcd", "root", 0o600)).unwrap_err();
        assert_eq!(error.message, "the account etcd does not exist on this node");
    }
}
