//! What `keddah plan`, `apply` and `remove` answer, read as a user's script would.

use crate::command::{self, Output, Running};
use crate::ensure;
use crate::failure::{Failure, Outcome};
use crate::project::Project;
use crate::sandbox::Sandbox;
use serde_json::Value;
use std::fmt;
use std::process::Command;
use std::time::Duration;

/// Longer than an apply from bare nodes takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// One change of a plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// The node's name in the inventory.
    pub node: String,
    /// Its kind: `file`, `unit`, `pg-role`, …
    pub kind: String,
    /// Its name.
    pub name: String,
    /// `create`, `update`, `delete`.
    pub action: String,
    /// What it costs: `in-place`, `reload`, `restart`, …
    pub class: String,
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, kind, name, action, class } = self;
        write!(formatter, "{node} {kind} {name} ({action}, {class})")
    }
}

/// What a plan says.
#[derive(Debug)]
pub struct Plan {
    /// Its changes.
    pub changes: Vec<Change>,
    /// How the program ended, and all it said.
    pub output: Output,
}

impl Plan {
    fn read(output: Output) -> Outcome<Self> {
        let document: Value = serde_json::from_str(&output.stdout).map_err(|error| {
            Failure::new(format!("the answer is not JSON: {error}")).with(&output)
        })?;
        let Some(changes) = document.pointer("/changes").or(document.pointer("/plan/changes"))
        else {
            return Err(Failure::new("the answer has no `changes`").with(&output));
        };
        let text = |value: &Value, path: &str| -> String {
            value.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let mut changes: Vec<Change> = changes
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default()
            .iter()
            .map(|change| Change {
                node: text(change, "/id/node"),
                kind: text(change, "/id/kind"),
                name: text(change, "/id/name"),
                action: text(change, "/difference/action"),
                class: text(change, "/difference/class"),
            })
            .collect();
        changes.sort();
        Ok(Self { changes, output })
    }

    /// Fails unless there is nothing to change.
    pub fn expect_empty(&self) -> Outcome {
        let code = self.output.code;
        // 2 says that something is not well: another scenario's matter, and often a moment's.
        if matches!(code, Some(0 | 2)) && self.changes.is_empty() {
            return Ok(());
        }
        let count = self.changes.len();
        Err(Failure::new(format!(
            "the plan should be empty; it has {count} changes and ended with {code:?}"
        ))
        .with(self.list())
        .with(&self.output.stderr)
        .with(if count == 0 { self.output.stdout.as_str() } else { "" }))
    }

    /// Fails unless each change is expected, and each expectation is met as often as it says.
    pub fn expect(&self, expected: &[Expected]) -> Outcome {
        let mut wrong = Vec::new();
        for change in &self.changes {
            if !expected.iter().any(|one| one.fits(change)) {
                wrong.push(format!("not expected: {change}"));
            }
        }
        for one in expected {
            let found = self.changes.iter().filter(|change| one.fits(change)).count();
            let enough = one.count.map_or(found > 0, |count| found == count);
            if !enough {
                let wanted = one.count.map_or("some".to_owned(), |count| count.to_string());
                wrong.push(format!("expected {wanted}, found {found}: {one:?}"));
            }
        }
        if self.output.code != Some(2) {
            wrong.push(format!("exit code {:?} instead of 2", self.output.code));
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Failure::new("the plan is not what it should be")
            .with(wrong.join("\n"))
            .with("the plan:")
            .with(self.list())
            .with(&self.output.stderr))
    }

    /// Fails unless one of the changes is this.
    pub fn contains(&self, expected: &Expected) -> Outcome {
        if self.changes.iter().any(|change| expected.fits(change)) {
            return Ok(());
        }
        Err(Failure::new(format!("the plan lacks {expected:?}")).with(self.list()))
    }

    /// The changes, one a line.
    pub fn list(&self) -> String {
        let lines: Vec<String> = self.changes.iter().map(Change::to_string).collect();
        lines.join("\n")
    }
}

/// Changes that a plan should have.
#[derive(Debug, Clone)]
pub struct Expected {
    kind: &'static str,
    /// What the name begins or ends with.
    name: String,
    node: Option<String>,
    class: Option<&'static str>,
    action: Option<&'static str>,
    count: Option<usize>,
}

/// Expects changes of a kind whose name contains this.
pub fn expected(kind: &'static str, name: &str) -> Expected {
    Expected { kind, name: name.to_owned(), node: None, class: None, action: None, count: None }
}

impl Expected {
    /// Exactly so many of them.
    pub fn times(mut self, count: usize) -> Self {
        self.count = Some(count);
        self
    }

    /// On this node.
    pub fn on(mut self, node: &str) -> Self {
        self.node = Some(node.to_owned());
        self
    }

    /// At this cost.
    pub fn class(mut self, class: &'static str) -> Self {
        self.class = Some(class);
        self
    }

    /// Made, changed, or taken away.
    pub fn action(mut self, action: &'static str) -> Self {
        self.action = Some(action);
        self
    }

    fn fits(&self, change: &Change) -> bool {
        change.kind == self.kind
            && change.name.contains(&self.name)
            && self.node.as_ref().is_none_or(|node| *node == change.node)
            && self.class.is_none_or(|class| class == change.class)
            && self.action.is_none_or(|action| action == change.action)
    }
}

/// The program under test, used on one project in one sandbox.
pub struct Keddah<'a> {
    /// Where it works.
    pub sandbox: &'a Sandbox,
    /// On what.
    pub project: &'a Project,
}

impl Keddah<'_> {
    /// The program with these arguments, in the project's directory, inside the sandbox's network.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.sandbox.keddah(arguments);
        command.arg("-i").arg(self.project.inventory());
        command.current_dir(&self.project.directory);
        command
    }

    /// Runs it.
    pub fn run(&self, arguments: &[&str]) -> Outcome<Output> {
        command::run(&mut self.command(arguments), PATIENCE)
    }

    /// Starts it.
    pub fn start(&self, arguments: &[&str]) -> Outcome<Running> {
        command::start(&mut self.command(arguments))
    }

    /// `keddah plan --json`.
    pub fn plan(&self) -> Outcome<Plan> {
        Plan::read(self.run(&["plan", "--json"])?.expect(&[0, 2])?)
    }

    /// `keddah apply --yes`, which must succeed.
    pub fn apply(&self) -> Outcome<Output> {
        self.run(&["apply", "--yes"])?.success()
    }

    /// Plans, expects, applies, and expects that nothing is left.
    pub fn change(&self, expectations: &[Expected]) -> Outcome {
        self.plan()?.expect(expectations)?;
        let applied = self.apply()?;
        self.plan()?.expect_empty().map_err(|failure| failure.with(&applied))
    }
}

/// Fails unless what was said contains this.
pub fn says(output: &Output, words: &str) -> Outcome {
    let found = output.stdout.contains(words) || output.stderr.contains(words);
    if found {
        return Ok(());
    }
    ensure!(!words.is_empty(), "an empty expectation");
    Err(Failure::new(format!("it should have said `{words}`")).with(output))
}
