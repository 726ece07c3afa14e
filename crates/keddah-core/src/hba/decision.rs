//! Which line of an authentication file decides about a client: the first that fits.

use super::{Address, Connection, Line, Word};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Where a client connects from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin<'a> {
    /// The Unix-domain socket.
    Local,
    /// An address.
    Network {
        /// The address.
        address: IpAddr,
        /// Whether it encrypts.
        tls: bool,
    },
    /// A host that only its name tells, as a line names it.
    Named {
        /// The name, or `samehost` and its like.
        name: &'a str,
        /// Whether it encrypts.
        tls: bool,
    },
}

/// Somebody who wants in.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    /// Where from.
    pub origin: Origin<'a>,
    /// The database, or `replication` for physical replication.
    pub database: &'a str,
    /// The role.
    pub user: &'a str,
    /// Roles it is a member of, directly or not, itself included.
    pub member_of: &'a BTreeSet<String>,
    /// Whether `database` means physical replication.
    pub replication: bool,
}

/// Who is a member of which roles, as far as an inventory tells.
pub type Memberships = BTreeMap<String, Vec<String>>;

/// All roles somebody is a member of, directly or not, itself included.
pub fn roles_of(name: &str, memberships: &Memberships) -> BTreeSet<String> {
    let mut roles = BTreeSet::from([name.to_owned()]);
    let mut open = vec![name];
    while let Some(role) = open.pop() {
        for parent in memberships.get(role).map(Vec::as_slice).unwrap_or_default() {
            if roles.insert(parent.clone()) {
                open.push(parent);
            }
        }
    }
    roles
}

impl Client<'_> {
    /// The line that decides; without one, the client is turned away.
    pub fn decided_by<'a>(&self, lines: &'a [Line]) -> Option<&'a Line> {
        lines.iter().find(|line| {
            line.fits_origin(&self.origin)
                && line.fits_user(self.user, self.member_of)
                && line.fits_database(self.database, self.replication, self.user, self.member_of)
        })
    }
}

impl Line {
    /// Whether it lets in whom it fits, provided the proof is good.
    pub fn admits(&self) -> bool {
        self.method != "reject"
    }

    pub(super) fn fits_origin(&self, origin: &Origin<'_>) -> bool {
        let fits = |tls: bool| match self.connection {
            Connection::Any => true,
            Connection::Tls => tls,
            Connection::Plain => !tls,
            Connection::Local | Connection::Gssapi => false,
        };
        match (origin, &self.address) {
            (Origin::Local, _) => self.connection == Connection::Local,
            (Origin::Network { address, tls }, Address::Network(network)) => {
                fits(*tls) && network.contains(address)
            }
            (Origin::Named { name, tls }, Address::Named(own)) => fits(*tls) && name == own,
            // A host of whatever name has an address in the whole of all addresses.
            (Origin::Named { tls, .. }, Address::Network(network)) => {
                fits(*tls) && network.prefix_len() == 0
            }
            (Origin::Network { tls, .. } | Origin::Named { tls, .. }, Address::Everywhere) => {
                fits(*tls)
            }
            (_, Address::None | Address::Named(_)) => false,
        }
    }

    pub(super) fn fits_user(&self, user: &str, member_of: &BTreeSet<String>) -> bool {
        self.users.iter().any(|word| match word.group() {
            Some(group) => member_of.contains(group),
            None => word.is("all") || word.text == user,
        })
    }

    pub(super) fn fits_database(
        &self,
        database: &str,
        replication: bool,
        user: &str,
        member_of: &BTreeSet<String>,
    ) -> bool {
        self.databases.iter().any(|word: &Word| {
            if word.is("replication") || replication {
                return word.is("replication") && replication;
            }
            word.is("all")
                || (word.is("sameuser") && database == user)
                || ((word.is("samerole") || word.is("samegroup")) && member_of.contains(database))
                || word.text == database
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client<'a>(
        address: &str,
        tls: bool,
        user: &'a str,
        member_of: &'a BTreeSet<String>,
    ) -> Client<'a> {
        let address = address.parse().unwrap();
        let origin = Origin::Network { address, tls };
        Client { origin, database: "test", user, member_of, replication: false }
    }

    fn decided(text: &str, client: &Client<'_>) -> Option<usize> {
        let (lines, unreadable) = super::super::parse(text);
        assert!(unreadable.is_empty(), "{unreadable:?}");
        client.decided_by(&lines).map(|line| line.number)
    }

    #[test]
    fn the_first_line_that_fits_decides() {
        let text = "hostssl all x 10.0.0.0/8 cert\nhost all x 10.1.0.0/16 reject\n\
                    host test +readers 10.0.0.0/8 md5\nhost all all 0.0.0.0/0 scram-sha-256\n";
        let memberships = Memberships::from([
            ("x".to_owned(), vec!["writers".to_owned()]),
            ("writers".to_owned(), vec!["readers".to_owned()]),
        ]);
        let roles = roles_of("x", &memberships);
        assert_eq!(decided(text, &client("10.1.0.1", true, "x", &roles)), Some(1));
        assert_eq!(decided(text, &client("10.1.0.1", false, "x", &roles)), Some(2));
        assert_eq!(decided(text, &client("10.2.0.1", false, "x", &roles)), Some(3));
        assert_eq!(decided(text, &client("11.0.0.1", true, "x", &roles)), Some(4));
        assert_eq!(decided(text, &client("::1", true, "x", &roles)), None);
        let nobody = roles_of("y", &memberships);
        assert_eq!(decided(text, &client("10.2.0.1", false, "y", &nobody)), Some(4));
    }

    #[test]
    fn all_databases_do_not_include_replication() {
        let roles = roles_of("repl", &Memberships::new());
        let replication = Client {
            origin: Origin::Local,
            database: "replication",
            user: "repl",
            member_of: &roles,
            replication: true,
        };
        assert_eq!(
            decided("local all all trust\nlocal replication all md5\n", &replication),
            Some(2)
        );
        let database = Client { replication: false, ..replication };
        assert_eq!(decided("local replication all trust\n", &database), None);
        // In quotes, it is a database of that name.
        assert_eq!(decided("local \"replication\" all trust\n", &database), Some(1));
    }
}
