//! What a long plan folds away: the same on several nodes, many plain things of one kind, and what
//! can only be compared later. Nothing is left out but details; names and counts stay.

use crate::render::counted;
use indexmap::IndexMap;
use keddah_plan::{Certainty, PlannedChange};
use keddah_resource::{Action, Class, Difference, Kind, ResourceId};
use std::collections::BTreeMap;

/// Plain things of one kind are always shown together.
const PLAIN_TOGETHER: usize = 1;

/// So many things that somebody declared one by one, such as roles, are shown together.
const DECLARED_TOGETHER: usize = 9;

/// So many comparisons that wait for the same thing are shown together.
const LATER_TOGETHER: usize = 3;

/// So many names of one kind are still named where their number alone would do.
const NAMED: usize = 2;

/// Changes of the same nodes, by these nodes.
type ByNodes<'a> = IndexMap<Vec<&'a str>, Vec<&'a PlannedChange>>;

/// What is shown as one.
#[derive(Debug)]
pub enum Entry<'a> {
    /// One change with its details.
    One(&'a PlannedChange),
    /// Several of one kind for one reason, by name alone.
    Alike(Vec<&'a PlannedChange>),
    /// Several that wait for the same thing.
    Later {
        /// For what.
        because: &'a str,
        /// Those that wait.
        changes: Vec<&'a PlannedChange>,
    },
}

/// Identical changes on several nodes become one; what is on the same nodes stands together.
pub fn by_nodes<'a>(changes: &[&'a PlannedChange]) -> ByNodes<'a> {
    let mut entries: Vec<(&PlannedChange, Vec<&str>)> = Vec::new();
    let mut places: BTreeMap<(Kind, &str), Vec<usize>> = BTreeMap::new();
    for &change in changes {
        let same = places.entry((change.id.kind, change.id.name.as_str())).or_default();
        match same.iter().find(|&&at| reads_alike(entries[at].0, change)) {
            Some(&at) => entries[at].1.push(change.id.node.as_str()),
            None => {
                same.push(entries.len());
                entries.push((change, vec![change.id.node.as_str()]));
            }
        }
    }
    let mut folded: ByNodes<'_> = IndexMap::new();
    for (change, mut nodes) in entries {
        nodes.sort_unstable();
        folded.entry(nodes).or_default().push(change);
    }
    folded
}

/// Whether two changes of different nodes read the same.
fn reads_alike(one: &PlannedChange, other: &PlannedChange) -> bool {
    one.id.kind == other.id.kind
        && one.id.name == other.id.name
        && one.difference == other.difference
        && one.certainty == other.certainty
}

/// Puts together what is alike, in the place of the first of them.
pub fn entries<'a>(changes: &[&'a PlannedChange]) -> Vec<Entry<'a>> {
    let mut groups: IndexMap<Likeness<'_>, Vec<&PlannedChange>> = IndexMap::new();
    for &change in changes {
        groups.entry(likeness(change)).or_default().push(change);
    }
    let mut entries = Vec::new();
    for (likeness, changes) in groups {
        let enough = match likeness {
            Likeness::WaitsFor(_) => LATER_TOGETHER,
            Likeness::Alone(_) => usize::MAX,
            Likeness::Plain { kind, .. } if is_plain(kind) => PLAIN_TOGETHER,
            Likeness::Plain { .. } => DECLARED_TOGETHER,
        };
        match likeness {
            _ if changes.len() < enough => entries.extend(changes.into_iter().map(Entry::One)),
            Likeness::WaitsFor(because) => entries.push(Entry::Later { because, changes }),
            _ => entries.push(Entry::Alike(changes)),
        }
    }
    entries
}

/// What must be equal for two changes to be shown together.
#[derive(PartialEq, Eq, Hash)]
enum Likeness<'a> {
    /// It will be compared when this is so.
    WaitsFor(&'a str),
    /// It is made, or taken away, for this reason, and nobody notices.
    Plain { kind: Kind, goes: bool, reason: &'a str },
    /// It is like no other: what somebody may notice always stands alone.
    Alone(&'a ResourceId),
}

fn likeness(change: &PlannedChange) -> Likeness<'_> {
    let Difference { action, class, fields: _, reason, impossible } = &change.difference;
    let goes = match (&change.certainty, action) {
        (Certainty::NotYet { because }, _) => return Likeness::WaitsFor(because),
        _ if *class != Class::InPlace || impossible.is_some() => None,
        (_, Action::Update) => None,
        (_, action) => Some(*action == Action::Delete),
    };
    match goes {
        Some(goes) => Likeness::Plain { kind: change.id.kind, goes, reason },
        None => Likeness::Alone(&change.id),
    }
}

/// Kinds of which there are many, and whose names say it all.
fn is_plain(kind: Kind) -> bool {
    matches!(kind, Kind::Directory | Kind::Symlink | Kind::File | Kind::Unit)
}

/// The names of changes of one kind; paths below one directory share it.
pub fn names(changes: &[&PlannedChange]) -> Vec<String> {
    let mut below: IndexMap<&str, Vec<&str>> = IndexMap::new();
    let mut others = Vec::new();
    for change in changes {
        match change.id.name.rsplit_once('/') {
            Some((directory, name)) if directory.starts_with('/') => {
                below.entry(directory).or_default().push(name);
            }
            _ => others.push(change.id.name.clone()),
        }
    }
    let together = |(directory, names): (&str, Vec<&str>)| match names.as_slice() {
        [one] => format!("{directory}/{one}"),
        many => format!("{directory}/{{{}}}", many.join(", ")),
    };
    others.extend(below.into_iter().map(together));
    others
}

/// How many of which kind, with names where they are few.
pub fn kinds(changes: &[&PlannedChange]) -> Vec<String> {
    let mut by_kind: IndexMap<Kind, Vec<&str>> = IndexMap::new();
    for change in changes {
        let name = keddah_plan::short_name(&change.id);
        by_kind.entry(change.id.kind).or_default().push(name);
    }
    let one = |(kind, names): (Kind, Vec<&str>)| match names.len() {
        count if count > NAMED => counted(count, &kind.to_string()),
        _ => format!("{kind} {}", names.join(" and ")),
    };
    by_kind.into_iter().map(one).collect()
}

/// Lines of a diff in which runs of removed comments, such as those of a distribution's
/// configuration files, are counted instead of shown.
pub fn without_removed_comments(diff: &str) -> Vec<String> {
    /// Fewer lines are shown as they are.
    const WORTH_IT: usize = 3;
    let mut lines = Vec::new();
    let mut run: Vec<&str> = Vec::new();
    let end = |run: &mut Vec<&str>, lines: &mut Vec<String>| {
        if run.len() > WORTH_IT {
            lines.push(format!("-(… {} lines of comments)", run.len()));
        } else {
            lines.extend(run.iter().map(|line| (*line).to_owned()));
        }
        run.clear();
    };
    for line in diff.lines() {
        let comment = line.strip_prefix('-').is_some_and(|rest| {
            let rest = rest.trim_start();
            rest.is_empty() || rest.starts_with(['#', ';'])
        });
        if comment {
            run.push(line);
        } else {
            end(&mut run, &mut lines);
            lines.push(line.to_owned());
        }
    }
    end(&mut run, &mut lines);
    lines
}

/// The nodes of a heading.
pub fn node_list(nodes: &[&str]) -> String {
    match nodes {
        [one] => (*one).to_owned(),
        few if few.len() <= 4 => few.join(", "),
        many => {
            format!("{}, … {} (on {} nodes)", many[0], many[many.len() - 1], many.len())
        }
    }
}
