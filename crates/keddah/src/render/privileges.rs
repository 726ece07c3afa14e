//! Who can do what in a cluster, as a matrix of roles and kinds of objects, and what differs from
//! the model.

use crate::render::theme::{Meaning, Theme};
use crate::render::{Output, counted};
use indexmap::IndexMap;
use keddah_plan::{Deviation, PlannedChange};
use keddah_resource::FieldChange;
use keddah_resource::kind::pg_grants::{ObjectKind, Objects};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Roles and databases named before the rest is only counted.
const NAMED: usize = 3;

/// Privileges and the letters by which psql shows them (the manual's "ACL Privilege Abbreviations").
const LETTERS: &[(&str, char)] = &[
    ("SELECT", 'r'),
    ("INSERT", 'a'),
    ("UPDATE", 'w'),
    ("DELETE", 'd'),
    ("TRUNCATE", 'D'),
    ("REFERENCES", 'x'),
    ("TRIGGER", 't'),
    ("EXECUTE", 'X'),
    ("USAGE", 'U'),
    ("CREATE", 'C'),
    ("CONNECT", 'c'),
    ("TEMPORARY", 'T'),
];

/// What one database answered.
#[derive(Debug, Serialize)]
pub struct DatabasePrivileges {
    /// Its name.
    pub database: String,
    /// Its objects, those alike together.
    pub objects: Vec<Objects>,
    /// Those that differ from the model.
    pub deviations: Vec<Deviation>,
}

/// What a cluster answered.
#[derive(Debug, Serialize)]
pub struct Privileges<'a> {
    /// Its name.
    pub cluster: String,
    /// Whose objects carry the model's privileges from birth.
    pub creators: Vec<String>,
    /// The roles of the model.
    pub default_roles: BTreeSet<String>,
    /// All roles that were asked for; `public` is everybody.
    pub roles: BTreeSet<String>,
    /// Its databases.
    pub databases: Vec<DatabasePrivileges>,
    /// Changes of the plan that are about privileges.
    pub drift: Vec<&'a PlannedChange>,
}

impl Privileges<'_> {
    /// Whether nothing differs from the model.
    pub fn matches(&self) -> bool {
        self.drift.is_empty() && self.databases.iter().all(|one| one.deviations.is_empty())
    }
}

/// Shows them.
pub fn show(output: &Output, privileges: &Privileges<'_>) {
    if output.is_json() {
        let mut data = serde_json::json!(privileges);
        data["matches"] = privileges.matches().into();
        output.data(&data);
    } else {
        output.answer(&text(privileges, output.stdout));
    }
}

/// The matrix of one database: a line of cells for each role.
type Matrix<'a> = BTreeMap<&'a str, Vec<String>>;

fn text(privileges: &Privileges<'_>, theme: Theme) -> String {
    let mut text = String::new();
    let mut alike: IndexMap<Matrix<'_>, Vec<&str>> = IndexMap::new();
    for one in &privileges.databases {
        alike.entry(matrix(privileges, one)).or_default().push(&one.database);
    }
    for (matrix, databases) in &alike {
        let title = format!("{}: {}", privileges.cluster, few(databases));
        let _ = writeln!(text, "{}", theme.paint(Meaning::Heading, &title));
        table(&mut text, privileges, matrix, theme);
        text.push('\n');
    }
    legend(&mut text, &alike, theme);
    differences(&mut text, privileges, theme);
    text
}

fn matrix<'a>(privileges: &'a Privileges<'_>, one: &DatabasePrivileges) -> Matrix<'a> {
    privileges
        .roles
        .iter()
        .map(|role| {
            let cells = ObjectKind::ALL.map(|kind| cell(role, kind, &one.objects));
            (role.as_str(), cells.to_vec())
        })
        .collect()
}

/// What a role can do on the objects of a kind: a letter for what it can do on all of them, in
/// parentheses what it can do on some.
fn cell(role: &str, kind: ObjectKind, objects: &[Objects]) -> String {
    let objects: Vec<&Objects> = objects.iter().filter(|one| one.kind == kind).collect();
    if objects.is_empty() {
        return String::new();
    }
    let has = |one: &Objects, privilege: &str| {
        one.held.get(role).is_some_and(|held| held.contains(privilege))
    };
    let (mut all, mut some) = (String::new(), String::new());
    for (privilege, letter) in LETTERS {
        let count = objects.iter().filter(|one| has(one, privilege)).count();
        if count == objects.len() {
            all.push(*letter);
        } else if count > 0 {
            some.push(*letter);
        }
    }
    if !some.is_empty() {
        let _ = write!(all, "({some})");
    }
    if all.is_empty() { "-".to_owned() } else { all }
}

fn table(text: &mut String, privileges: &Privileges<'_>, matrix: &Matrix<'_>, theme: Theme) {
    let shown: Vec<usize> = (0..ObjectKind::ALL.len())
        .filter(|&column| matrix.values().any(|cells| !cells[column].is_empty()))
        .collect();
    let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
    // The roles of the model one by one; of the others those that can do the same together.
    let mut others: IndexMap<&Vec<String>, Vec<&str>> = IndexMap::new();
    for (role, cells) in matrix {
        if privileges.default_roles.contains(*role) || *role == "public" {
            lines.push(((*role).to_owned(), shown.iter().map(|&at| cells[at].as_str()).collect()));
        } else {
            others.entry(cells).or_default().push(role);
        }
    }
    for (cells, roles) in others {
        lines.push((few(&roles), shown.iter().map(|&at| cells[at].as_str()).collect()));
    }
    let names: Vec<String> = shown.iter().map(|&at| ObjectKind::ALL[at].to_string()).collect();
    let first = lines.iter().map(|(roles, _)| roles.chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = names
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let cells = lines.iter().map(|(_, cells)| cells[at].chars().count());
            cells.max().unwrap_or_default().max(name.len())
        })
        .collect();
    let mut row = |label: &str, cells: Vec<&str>, muted: bool| {
        let mut line = format!("  {label:first$}");
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(line, "  {cell:width$}");
        }
        let line = line.trim_end();
        let line = if muted { theme.paint(Meaning::Muted, line) } else { line.to_owned() };
        let _ = writeln!(text, "{line}");
    };
    row("", names.iter().map(String::as_str).collect(), true);
    for (label, cells) in lines {
        row(&label, cells, false);
    }
}

fn legend(text: &mut String, alike: &IndexMap<Matrix<'_>, Vec<&str>>, theme: Theme) {
    let used: BTreeSet<char> = alike
        .keys()
        .flat_map(|matrix| matrix.values().flatten().flat_map(|cell| cell.chars()))
        .collect();
    let mut words: Vec<String> = LETTERS
        .iter()
        .filter(|(_, letter)| used.contains(letter))
        .map(|(privilege, letter)| format!("{letter} {privilege}"))
        .collect();
    if used.contains(&'(') {
        words.push("( ) on some of them".to_owned());
    }
    let _ = writeln!(text, "{}\n", theme.paint(Meaning::Muted, &words.join(", ")));
}

fn differences(text: &mut String, privileges: &Privileges<'_>, theme: Theme) {
    if privileges.matches() {
        let good = theme.paint(Meaning::Good, "As the model says:");
        let count = counted(privileges.databases.len(), "database");
        let _ = writeln!(text, "{good} {count} of {}.", privileges.cluster);
        return;
    }
    let heading = theme.paint(Meaning::Grave, "What differs from the model:");
    let _ = writeln!(text, "{heading}");
    let mut strangers = BTreeSet::new();
    for deviation in privileges.databases.iter().flat_map(|one| &one.deviations) {
        let Deviation { database, kind, owner, count, names, missing, beyond, made_by_model } =
            deviation;
        let dots = if *count > names.len() { ", …" } else { "" };
        let _ = writeln!(
            text,
            "  {database}: {} of {owner} ({}{dots})",
            counted(*count, &kind.to_string()),
            names.join(", ")
        );
        for (role, these) in missing {
            let line = format!("{role} lacks {}", joined(these));
            let _ = writeln!(text, "      {}", theme.paint(Meaning::Delete, &line));
        }
        for (role, these) in beyond {
            let line = format!("{role} was given {}", joined(these));
            let _ = writeln!(text, "      {}", theme.paint(Meaning::Update, &line));
        }
        if !missing.is_empty() && !made_by_model && *kind != ObjectKind::Database {
            strangers.insert(owner.as_str());
        }
    }
    for change in &privileges.drift {
        let _ =
            writeln!(text, "  {} {}: {}", change.id.kind, change.id.name, change.difference.reason);
        for field in &change.difference.fields {
            let FieldChange::Value { field, before, after } = field else { continue };
            let shown = match (before, after) {
                (Some(before), Some(after)) => format!("{before}, not {after}"),
                (Some(before), None) => format!("{before} is too much"),
                (None, Some(after)) => format!("{after} is missing"),
                (None, None) => continue,
            };
            let _ = writeln!(text, "      {field}: {shown}");
        }
    }
    text.push('\n');
    let hint = theme.paint(Meaning::Hint, "hint:");
    if !strangers.is_empty() {
        let _ = writeln!(
            text,
            "{hint} objects carry the model's privileges when {} makes them; {} did not. Use SET ROLE \
             dbrole_admin before making objects, or, through a pool, give the user \
             `parameters: {{ role: dbrole_admin }}`; for these, ALTER … OWNER TO and GRANT",
            privileges.creators.join(", "),
            strangers.into_iter().collect::<Vec<_>>().join(", ")
        );
    }
    if !privileges.drift.is_empty() {
        let _ = writeln!(
            text,
            "{hint} `keddah apply -l {}` mends default privileges, schemas, databases and roles",
            privileges.cluster
        );
    }
}

fn joined(privileges: &BTreeSet<String>) -> String {
    privileges.iter().cloned().collect::<Vec<_>>().join(", ")
}

/// The first few names, and how many more there are.
fn few(names: &[&str]) -> String {
    let mut text = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    if names.len() > NAMED {
        let _ = write!(text, " and {} more", names.len() - NAMED);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(owner: &str, held: &[(&str, &[&str])]) -> Objects {
        Objects {
            kind: ObjectKind::Table,
            owner: owner.to_owned(),
            count: 1,
            names: vec!["public.t".to_owned()],
            held: held
                .iter()
                .map(|(role, held)| {
                    ((*role).to_owned(), held.iter().map(|&one| one.to_owned()).collect())
                })
                .collect(),
            granted: BTreeMap::new(),
        }
    }

    #[test]
    fn what_holds_for_some_stands_in_parentheses() {
        let tables = [
            objects("postgres", &[("reader", &["SELECT"]), ("writer", &["SELECT", "INSERT"])]),
            objects("app", &[("writer", &["SELECT"])]),
        ];
        assert_eq!(cell("reader", ObjectKind::Table, &tables), "(r)");
        assert_eq!(cell("writer", ObjectKind::Table, &tables), "r(a)");
        assert_eq!(cell("nobody", ObjectKind::Table, &tables), "-");
        assert_eq!(cell("reader", ObjectKind::View, &tables), "");
    }

    #[test]
    fn every_privilege_has_a_letter_of_its_own() {
        let letters: BTreeSet<char> = LETTERS.iter().map(|(_, letter)| *letter).collect();
        assert_eq!(letters.len(), LETTERS.len());
    }
}
