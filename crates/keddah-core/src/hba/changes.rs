//! Who gains and who loses access between two authentication files, in words.
//!
//! Lines are not compared with lines: an added line that an earlier one shadows changes nothing, and
//! a line that moves may change much. Instead, every kind of client that the two files can tell
//! apart asks both, and where the answers differ, the two lines that gave them are told.

use super::decision::{Memberships, Origin, roles_of};
use super::{Address, Connection, Line, Word};
use ipnet::IpNet;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Kinds of clients beyond which nobody would read the answer, and nobody should wait for it.
const MOST_CLIENTS: usize = 4_000_000;

/// Somebody whom no line names. A name cannot hold this character.
const NOBODY: &str = "\0";

/// What happens to somebody's access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// It is new.
    Gained,
    /// It ends.
    Lost,
    /// It goes on with another proof.
    Proof,
}

/// One change of access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What happens.
    pub effect: Effect,
    /// Who, to what, and from where: `role app to database test from 10.0.0.0/8`.
    pub access: String,
    /// How it was proven: `with a password`. Empty for what is new.
    pub before: String,
    /// How it will be proven. Empty for what ends.
    pub after: String,
}

/// Which of the clients that a pair of lines decides about it decides differently about.
#[derive(Debug, Default)]
struct Seen<'a> {
    tls: bool,
    plain: bool,
    users: BTreeSet<&'a str>,
    databases: BTreeSet<&'a str>,
}

/// Users or databases that all lines treat alike.
struct Alike<T> {
    /// One of them.
    one: T,
    /// The names of all.
    names: Vec<String>,
}

/// The line that decides before, and after; `None` where no line fits.
type Pair = (Option<usize>, Option<usize>);

/// A role's name, and the roles it is a member of.
type User = (String, BTreeSet<String>);

/// A database's name, and whether it stands for physical replication.
type Database = (String, bool);

/// All changes of access between two files; `None` when they tell too many kinds of clients apart.
pub fn changes(before: &[Line], after: &[Line], memberships: &Memberships) -> Option<Vec<Change>> {
    let lines: Vec<&Line> = before.iter().chain(after).collect();
    let origins = distinct(origins(&lines), |origin| {
        // Kept apart even where no line tells them apart, so that words can tell "over TLS" from
        // "either way".
        let encrypted = [encrypts(origin) == Some(true)];
        lines.iter().map(|line| line.fits_origin(origin)).chain(encrypted).collect()
    });
    let fits = |(name, roles): &User| {
        lines.iter().map(|line| line.fits_user(name, roles)).collect::<Vec<bool>>()
    };
    let users = alike(users(&lines, memberships), fits, |(name, _)| name.clone());
    let by_user = lines
        .iter()
        .flat_map(|line| &line.databases)
        .any(|word| ["sameuser", "samerole", "samegroup"].iter().any(|keyword| word.is(keyword)));
    let none = BTreeSet::new();
    let fits = |(name, replication): &Database| {
        let fits = |line: &&Line| line.fits_database(name, *replication, NOBODY, &none);
        // Where a database's name matters to who its user is, no two are alike.
        let own = by_user.then(|| name.clone());
        (lines.iter().map(fits).collect::<Vec<bool>>(), own)
    };
    let databases =
        alike(databases(&lines, by_user.then_some(&users)), fits, |(name, _)| name.clone());
    if origins.len() * users.len() * databases.len() > MOST_CLIENTS {
        return None;
    }
    let mut pairs: BTreeMap<Pair, Seen<'_>> = BTreeMap::new();
    for origin in &origins {
        let fitting = |lines: &[Line]| -> Vec<usize> {
            (0..lines.len()).filter(|&at| lines[at].fits_origin(origin)).collect()
        };
        let (old, new) = (fitting(before), fitting(after));
        for Alike { one: (user, roles), names: user_names } in &users {
            let fitting = |lines: &[Line], some: &[usize]| -> Vec<usize> {
                some.iter().copied().filter(|&at| lines[at].fits_user(user, roles)).collect()
            };
            let (old, new) = (fitting(before, &old), fitting(after, &new));
            for Alike { one: (database, replication), names: database_names } in &databases {
                let first = |lines: &[Line], some: &[usize]| {
                    some.iter()
                        .copied()
                        .find(|&at| lines[at].fits_database(database, *replication, user, roles))
                };
                let pair = (first(before, &old), first(after, &new));
                let was = pair.0.and_then(|at| proof(&before[at]));
                let will = pair.1.and_then(|at| proof(&after[at]));
                if was != will {
                    let seen = pairs.entry(pair).or_default();
                    match encrypts(origin) {
                        Some(true) => seen.tls = true,
                        Some(false) => seen.plain = true,
                        None => {}
                    }
                    seen.users.extend(user_names.iter().map(String::as_str));
                    seen.databases.extend(database_names.iter().map(String::as_str));
                }
            }
        }
    }
    Some(told(before, after, &pairs))
}

/// Whether a connection over the network is encrypted.
fn encrypts(origin: &Origin<'_>) -> Option<bool> {
    match origin {
        Origin::Local => None,
        Origin::Network { tls, .. } | Origin::Named { tls, .. } => Some(*tls),
    }
}

/// What lets a client in by a line.
fn proof(line: &Line) -> Option<(&str, &[String])> {
    line.admits().then_some((line.method.as_str(), line.options.as_slice()))
}

/// One of each kind, where two of a kind fit the same lines.
fn distinct<T>(all: Vec<T>, fits: impl Fn(&T) -> Vec<bool>) -> Vec<T> {
    let mut kinds = BTreeSet::new();
    all.into_iter().filter(|one| kinds.insert(fits(one))).collect()
}

/// The same, with the names of all that are of the kind.
fn alike<T, K: Ord>(
    all: Vec<T>,
    kind: impl Fn(&T) -> K,
    name: impl Fn(&T) -> String,
) -> Vec<Alike<T>> {
    let mut kinds: BTreeMap<K, usize> = BTreeMap::new();
    let mut result: Vec<Alike<T>> = Vec::new();
    for one in all {
        let names = vec![name(&one)];
        match kinds.entry(kind(&one)) {
            Entry::Occupied(at) => result[*at.get()].names.extend(names),
            Entry::Vacant(place) => {
                place.insert(result.len());
                result.push(Alike { one, names });
            }
        }
    }
    result
}

/// The socket, and an address of every region that the lines' networks divide the world into: a
/// region begins where a network begins or right after one ends.
fn origins<'a>(lines: &[&'a Line]) -> Vec<Origin<'a>> {
    let mut points: BTreeSet<IpAddr> =
        BTreeSet::from([Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]);
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for line in lines {
        match &line.address {
            Address::Network(network) => {
                points.insert(network.network());
                points.extend(following(network));
            }
            Address::Named(name) => {
                names.insert(name);
            }
            Address::None | Address::Everywhere => {}
        }
    }
    let mut origins = vec![Origin::Local];
    for tls in [true, false] {
        origins.extend(points.iter().map(|&address| Origin::Network { address, tls }));
        origins.extend(names.iter().map(|&name| Origin::Named { name, tls }));
    }
    origins
}

/// The address after a network's last.
fn following(network: &IpNet) -> Option<IpAddr> {
    match network.broadcast() {
        IpAddr::V4(last) => u32::from(last).checked_add(1).map(|next| Ipv4Addr::from(next).into()),
        IpAddr::V6(last) => u128::from(last).checked_add(1).map(|next| Ipv6Addr::from(next).into()),
    }
}

/// Everyone named, a member of each role whose members are named, all known members of those, and
/// somebody else.
fn users(lines: &[&Line], memberships: &Memberships) -> Vec<User> {
    let words = || lines.iter().flat_map(|line| &line.users);
    let groups: BTreeSet<&str> = words().filter_map(Word::group).collect();
    let mut users = vec![(NOBODY.to_owned(), BTreeSet::new())];
    for group in &groups {
        users.push((format!("{NOBODY}{group}"), roles_of(group, memberships)));
    }
    let named = words().filter(|word| word.group().is_none() && !word.is("all"));
    let known = memberships.keys().filter(|name| {
        roles_of(name, memberships).iter().any(|role| groups.contains(role.as_str()))
    });
    let names: BTreeSet<&str> =
        named.map(|word| word.text.as_str()).chain(known.map(String::as_str)).collect();
    users.extend(names.into_iter().map(|name| (name.to_owned(), roles_of(name, memberships))));
    users
}

/// Every database named, replication, and some other; with lines about databases named as roles,
/// those of all roles.
fn databases(lines: &[&Line], users: Option<&Vec<Alike<User>>>) -> Vec<Database> {
    let words = lines.iter().flat_map(|line| &line.databases);
    let mut names: BTreeSet<String> = words.map(|word| word.text.clone()).collect();
    for alike in users.into_iter().flatten() {
        names.extend(alike.names.iter().cloned());
        names.extend(alike.one.1.iter().cloned());
    }
    let mut databases = vec![(NOBODY.to_owned(), false), ("replication".to_owned(), true)];
    databases.extend(names.into_iter().map(|name| (name, false)));
    databases
}

/// Pairs of lines as sentences; those that differ in nothing but the place become one.
fn told(before: &[Line], after: &[Line], pairs: &BTreeMap<Pair, Seen<'_>>) -> Vec<Change> {
    let mut merged: Vec<(Change, Vec<Address>)> = Vec::new();
    for (&(old, new), seen) in pairs {
        let (old, new) = (old.map(|at| &before[at]), new.map(|at| &after[at]));
        let was = old.filter(|line| line.admits());
        let will = new.filter(|line| line.admits());
        let effect = match (was, will) {
            (None, _) => Effect::Gained,
            (_, None) => Effect::Lost,
            _ => Effect::Proof,
        };
        let Some(one) = new.or(old) else { continue };
        let other = old.unwrap_or(one);
        let users = who(&affected(narrower(&one.users, &other.users), &seen.users));
        let databases = narrower(&one.databases, &other.databases);
        let databases = what(&affected(databases, &seen.databases));
        let address = narrower_address(&one.address, &other.address).clone();
        let how = |line: Option<&Line>| line.map_or(String::new(), |line| how(line, seen));
        let change = Change {
            effect,
            access: format!("{users} to {databases}"),
            before: how(was),
            after: how(will),
        };
        match merged.iter_mut().find(|(earlier, _)| *earlier == change) {
            Some((_, places)) if places.contains(&address) => {}
            Some((_, places)) => places.push(address),
            None => merged.push((change, vec![address])),
        }
    }
    let mut changes: Vec<Change> = merged
        .into_iter()
        .map(|(change, places)| Change {
            access: format!("{} {}", change.access, places_in_words(&places)),
            ..change
        })
        .collect();
    changes.sort_by_key(|change| change.effect);
    changes
}

/// Of two lists of which both fit, the one that says more.
fn narrower<'a>(one: &'a [Word], other: &'a [Word]) -> &'a [Word] {
    let vague = |words: &[Word]| {
        let wide = words.iter().any(|word| word.is("all"));
        (wide, words.iter().any(|word| word.group().is_some()), words.len())
    };
    if vague(other) < vague(one) { other } else { one }
}

/// A list without the names that nothing changes for.
fn affected(words: &[Word], names: &BTreeSet<&str>) -> Vec<Word> {
    let stays = |word: &&Word| word.group().is_some() || names.contains(word.text.as_str());
    let fewer: Vec<Word> = words.iter().filter(stays).cloned().collect();
    // Keywords are no names.
    if fewer.is_empty() || words.iter().any(|word| word.is("all")) { words.to_vec() } else { fewer }
}

fn narrower_address<'a>(one: &'a Address, other: &'a Address) -> &'a Address {
    match (one, other) {
        (Address::Everywhere, _) => other,
        (Address::Network(wide), Address::Network(narrow)) if wide.contains(narrow) => other,
        (Address::Network(_), Address::Named(_)) => other,
        _ => one,
    }
}

fn who(users: &[Word]) -> String {
    if users.iter().any(|word| word.is("all")) {
        return "everyone".to_owned();
    }
    let (groups, names): (Vec<&Word>, Vec<&Word>) =
        users.iter().partition(|word| word.group().is_some());
    let mut parts = Vec::new();
    match names.as_slice() {
        [] => {}
        [one] => parts.push(format!("role {}", one.text)),
        many => parts.push(format!("roles {}", and(many.iter().map(|word| word.text.clone())))),
    }
    if !groups.is_empty() {
        let names = groups.iter().filter_map(|word| word.group()).map(str::to_owned);
        parts.push(format!("members of {}", and(names)));
    }
    and(parts)
}

fn what(databases: &[Word]) -> String {
    let mut parts = Vec::new();
    let mut names = Vec::new();
    for word in databases {
        match word.text.as_str() {
            "all" if !word.quoted => parts.push("all databases".to_owned()),
            "replication" if !word.quoted => parts.push("replication".to_owned()),
            "sameuser" if !word.quoted => parts.push("the database of their own name".to_owned()),
            "samerole" | "samegroup" if !word.quoted => {
                parts.push("databases named as roles they are members of".to_owned());
            }
            name => names.push(name.to_owned()),
        }
    }
    match names.as_slice() {
        [] => {}
        [one] => parts.push(format!("database {one}")),
        _ => parts.push(format!("databases {}", and(names))),
    }
    and(parts)
}

fn how(line: &Line, seen: &Seen<'_>) -> String {
    let proof = match line.method.as_str() {
        "scram-sha-256" | "md5" | "password" => "with a password".to_owned(),
        "cert" => "with a client certificate".to_owned(),
        "peer" => "as the operating system's user of that name".to_owned(),
        "ident" if line.connection == Connection::Local => {
            "as the operating system's user of that name".to_owned()
        }
        "trust" => "without any proof".to_owned(),
        other => format!("by {other}"),
    };
    let by_map = line.options.iter().find_map(|option| option.strip_prefix("map="));
    let proof = match by_map {
        Some(map) => format!("{proof} (map {map})"),
        None => proof,
    };
    match (seen.tls, seen.plain) {
        (true, false) if line.method != "cert" => format!("{proof} over TLS"),
        (false, true) => format!("{proof} without TLS"),
        _ => proof,
    }
}

fn places_in_words(places: &[Address]) -> String {
    let anywhere = |place: &Address| match place {
        Address::Everywhere => true,
        Address::Network(network) => network.prefix_len() == 0,
        _ => false,
    };
    let mut parts = Vec::new();
    let whole: Vec<&Address> = places.iter().filter(|place| anywhere(place)).collect();
    match whole.as_slice() {
        [] => {}
        [Address::Network(IpNet::V4(_))] => parts.push("from any IPv4 address".to_owned()),
        [Address::Network(IpNet::V6(_))] => parts.push("from any IPv6 address".to_owned()),
        _ => parts.push("from anywhere".to_owned()),
    }
    let narrow: Vec<String> = places
        .iter()
        .filter(|place| !anywhere(place))
        .filter_map(|place| match place {
            Address::Network(network) if network.prefix_len() == network.max_prefix_len() => {
                Some(network.addr().to_string())
            }
            Address::Network(network) => Some(network.to_string()),
            Address::Named(name) if name == "samehost" => Some("the same host".to_owned()),
            Address::Named(name) if name == "samenet" => Some("the same networks".to_owned()),
            Address::Named(name) => Some(name.clone()),
            Address::None | Address::Everywhere => None,
        })
        .collect();
    if !narrow.is_empty() {
        parts.push(format!("from {}", and(narrow)));
    }
    if places.contains(&Address::None) {
        parts.push("over the local socket".to_owned());
    }
    and(parts)
}

/// `a`, `a and b`, `a, b and c`.
fn and(parts: impl IntoIterator<Item = String>) -> String {
    let mut parts: Vec<String> = parts.into_iter().collect();
    let Some(last) = parts.pop() else { return String::new() };
    if parts.is_empty() { last } else { format!("{} and {last}", parts.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(before: &str, after: &str) -> Vec<String> {
        let memberships = Memberships::from([
            ("app".to_owned(), vec!["writers".to_owned()]),
            ("writers".to_owned(), vec!["readers".to_owned()]),
        ]);
        let read = |text: &str| {
            let (lines, unreadable) = super::super::parse(text);
            assert!(unreadable.is_empty(), "{unreadable:?}");
            lines
        };
        let changes = changes(&read(before), &read(after), &memberships).unwrap();
        changes
            .into_iter()
            .map(|change| {
                let Change { effect, access, before, after } = change;
                match effect {
                    Effect::Gained => format!("+ {access} {after}"),
                    Effect::Lost => format!("- {access} {before}"),
                    Effect::Proof => format!("~ {access}: {before}, then {after}"),
                }
            })
            .collect()
    }

    const BASE: &str = "local all postgres peer\nhost all +readers 10.0.0.0/8 scram-sha-256\n\
                        host all +readers 192.168.0.0/16 scram-sha-256\n";

    #[test]
    fn the_same_rules_in_other_words_change_nothing() {
        assert_eq!(told(BASE, BASE), [""; 0]);
        let other = "# title\nlocal  all  postgres  peer\n\
                     host all +readers 192.168.0.0/16 scram-sha-256\n\
                     host all +readers 10.0.0.0 255.0.0.0 scram-sha-256\n";
        assert_eq!(told(BASE, other), [""; 0]);
    }

    #[test]
    fn what_is_new_is_gained() {
        let added = format!("{BASE}hostssl test other 10.0.0.0/8 scram-sha-256\n");
        assert_eq!(
            told(BASE, &added),
            ["+ role other to database test from 10.0.0.0/8 with a password over TLS"]
        );
        assert_eq!(
            told(&added, BASE),
            ["- role other to database test from 10.0.0.0/8 with a password over TLS"]
        );
        let everyone = format!("{BASE}host all all 0.0.0.0/0 md5\nhost all all ::/0 md5\n");
        assert_eq!(
            told(BASE, &everyone),
            ["+ everyone to all databases from anywhere with a password"]
        );
    }

    #[test]
    fn a_line_that_an_earlier_one_shadows_gains_nothing() {
        // app is a member of readers by way of writers.
        let added = format!("{BASE}hostssl test app 10.0.0.0/8 cert\n");
        assert_eq!(told(BASE, &added), [""; 0]);
        let first = format!("hostssl test app 10.0.0.0/8 cert\n{BASE}");
        assert_eq!(
            told(BASE, &first),
            ["~ role app to database test from 10.0.0.0/8: with a password over TLS, then with a \
              client certificate"]
        );
    }

    #[test]
    fn a_denial_takes_away_what_it_covers() {
        let denied = format!("host all app 10.10.10.1/32 reject\n{BASE}");
        assert_eq!(
            told(BASE, &denied),
            ["- role app to all databases from 10.10.10.1 with a password"]
        );
        let wide = format!("host all +readers 0.0.0.0/0 reject\n{BASE}");
        assert_eq!(
            told(BASE, &wide),
            [
                "- members of readers to all databases from 10.0.0.0/8 and 192.168.0.0/16 with a password"
            ]
        );
    }

    #[test]
    fn of_several_roles_only_those_are_told_for_whom_something_changes() {
        let denied = format!("host all app 0.0.0.0/0 reject\n{BASE}");
        let added = format!("{denied}host all app,other,third 8.8.8.0/24 md5\n");
        assert_eq!(
            told(&denied, &added),
            ["+ roles other and third to all databases from 8.8.8.0/24 with a password"]
        );
    }

    #[test]
    fn tls_only_takes_the_plain_connections_away() {
        let tls = BASE.replace("host all", "hostssl all");
        assert_eq!(
            told(BASE, &tls),
            ["- members of readers to all databases from 10.0.0.0/8 and 192.168.0.0/16 with a \
              password without TLS"]
        );
    }

    #[test]
    fn replication_is_a_place_of_its_own() {
        let added = format!("{BASE}host replication repl 10.0.0.2/32 scram-sha-256\n");
        assert_eq!(
            told(BASE, &added),
            ["+ role repl to replication from 10.0.0.2 with a password"]
        );
        let own = format!("{BASE}local sameuser all trust\n");
        assert_eq!(
            told(BASE, &own),
            [
                "+ everyone to the database of their own name over the local socket without any proof"
            ]
        );
    }
}
