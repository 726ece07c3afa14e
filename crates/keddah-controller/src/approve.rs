//! Approve: what must be said before a plan is carried out, by whoever is asked or beforehand.

use crate::{CommandError, Context, Error, counted};
use keddah_inventory::registry::nearest;
use keddah_plan::{Allowance, Certainty, Finding, Plan, PlannedChange, lint, short_name};
use keddah_resource::{Class, DesiredFleet, Kind, ResourceId};
use std::collections::BTreeSet;

/// Who is asked, while the trip waits for the answer.
pub trait Approver: Send + Sync {
    /// Puts a question, and gives back what was typed, without blanks around it.
    ///
    /// # Errors
    /// When there is no answer to be had.
    fn answer(&self, question: &Question<'_>) -> std::io::Result<String>;
}

/// What is asked before anything is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question<'a> {
    /// Whether all of this may be lost for good: yes is to type the names.
    Lose {
        /// What would be lost.
        lost: Vec<&'a ResourceId>,
        /// Its names, separated by commas.
        names: &'a str,
    },
    /// Whether to go ahead with what a name stands for: yes is to type it.
    Name(&'a str),
    /// Whether to carry out a plan: yes is `y` or `yes`.
    Apply {
        /// How many changes it has.
        changes: usize,
        /// The instances that serve now and would restart.
        restarts: &'a [String],
    },
}

impl Question<'_> {
    /// Whether an answer is a yes.
    fn is_granted_by(&self, answer: &str) -> bool {
        match self {
            Self::Lose { names, .. } => answer == *names,
            Self::Name(name) => answer == *name,
            Self::Apply { .. } => matches!(answer.to_lowercase().as_str(), "y" | "yes"),
        }
    }
}

/// What the user has said beforehand.
#[derive(Debug, Default)]
pub struct Approval {
    /// `--yes`.
    pub yes: bool,
    /// What may be lost.
    pub allowance: Allowance,
    /// A name that must be typed, whatever else was said.
    pub typed: Option<String>,
    /// The command as it was given, without `--destroy`, to be completed in a hint.
    pub command: String,
}

/// Lints the plan and asks for a yes.
///
/// # Errors
/// When the plan must not be carried out, the answer is no, or there is nobody to ask.
pub fn approve(
    context: &Context,
    plan: &Plan,
    desired: &DesiredFleet,
    mut approval: Approval,
) -> Result<(), Error> {
    let asked = context.approver.as_deref();
    known_losses(plan, desired, &approval.allowance.names)?;
    let findings = lint(plan, &approval.allowance);
    if let Some(asked) = asked
        && !approval.yes
        && findings.iter().any(is_loss)
        && findings.iter().all(is_loss)
    {
        let names = loss_names(&findings).into_iter().collect::<Vec<_>>().join(",");
        let lost = findings.iter().map(|one| &one.id).collect();
        ask(asked, &Question::Lose { lost, names: &names })?;
        approval.allowance.everything = true;
    }
    let findings = lint(plan, &approval.allowance);
    if !findings.is_empty() {
        return Err(refused(findings, &approval).into());
    }
    if let Some(name) = approval.typed {
        let Some(asked) = asked else {
            return Err(CommandError::user("there is no terminal to type the name on")
                .hint(format!("confirm it on the command line: --confirm {name}"))
                .into());
        };
        return ask(asked, &Question::Name(&name));
    }
    if approval.yes {
        return Ok(());
    }
    let Some(asked) = asked else {
        return Err(CommandError::user("there is no terminal to ask for approval")
            .hint("review the plan, then apply with --yes")
            .into());
    };
    let restarts = restarting(plan);
    ask(asked, &Question::Apply { changes: plan.changes.len(), restarts: &restarts })
}

/// Asks, and takes all but a yes for a no.
fn ask(asked: &dyn Approver, question: &Question<'_>) -> Result<(), Error> {
    let answer = asked
        .answer(question)
        .map_err(|error| CommandError::system("cannot read the answer").caused_by(&error))?;
    if question.is_granted_by(&answer) { Ok(()) } else { Err(Error::NotApproved) }
}

/// The instances that serve now and restart, in the plan's order; those that a Patroni takes along by
/// their nodes.
fn restarting(plan: &Plan) -> Vec<String> {
    let name = |change: &PlannedChange| match change.id.kind {
        Kind::Postmaster => Some(change.id.name.clone()),
        Kind::Unit if change.id.name.starts_with("patroni") => {
            Some(format!("{} on {}", change.id.name, change.id.node))
        }
        _ => None,
    };
    plan.changes
        .iter()
        .filter(|change| change.certainty == Certainty::Known)
        .filter(|change| {
            matches!(
                change.difference.class,
                Class::Restart | Class::OrderedRestart | Class::Replace | Class::Destroy
            )
        })
        .filter_map(name)
        .collect()
}

fn is_loss(finding: &Finding) -> bool {
    finding.code == "destroys-data"
}

fn loss_names(findings: &[Finding]) -> BTreeSet<&str> {
    findings.iter().filter(|one| is_loss(one)).map(|one| short_name(&one.id)).collect()
}

/// Refuses names of `--destroy` that nothing bears: a typing error must not pass for consent. What
/// is lost already, or is no loss today, may be named; the same command can be run again.
///
/// # Errors
/// Then.
pub fn known_losses(
    plan: &Plan,
    desired: &DesiredFleet,
    names: &BTreeSet<String>,
) -> Result<(), CommandError> {
    let bears = |name: &String| {
        let allowance = Allowance { names: BTreeSet::from([name.clone()]), everything: false };
        desired.iter().any(|resource| allowance.covers(&resource.id))
    };
    let Some(unknown) = names.iter().find(|name| !bears(name)) else { return Ok(()) };
    let error = CommandError::user(format!("--destroy {unknown}: nothing bears this name"));
    let findings = lint(plan, &Allowance::default());
    let losses = loss_names(&findings);
    let near = nearest(unknown, losses.iter().copied());
    Err(match near {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None if losses.is_empty() => error.hint("this plan loses nothing"),
        None => error.hint(format!(
            "what this plan would lose: {}",
            losses.into_iter().collect::<Vec<_>>().join(", ")
        )),
    })
}

/// All reasons at once; what is lost shares one hint, the command that allows exactly that.
fn refused(findings: Vec<Finding>, approval: &Approval) -> CommandError {
    let lost = loss_names(&findings);
    let mut error = if findings.iter().all(is_loss) {
        let count = findings.len();
        CommandError::user(format!("{} would be lost for good", counted(count, "thing")))
    } else {
        CommandError::user("this plan must not be carried out as it is")
    };
    if !lost.is_empty() {
        let named = approval.allowance.names.iter().map(String::as_str);
        let all: BTreeSet<&str> = named.chain(lost.iter().copied()).collect();
        let all = all.into_iter().collect::<Vec<_>>().join(",");
        error = error.hint(format!("to allow it: {} --destroy {all}", approval.command));
    }
    for finding in findings {
        if !is_loss(&finding) {
            error.hints.push(finding.help);
        }
        error.causes.push(finding.message);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clock, Surroundings};
    use keddah_core::NodeName;
    use keddah_resource::kind::directory;
    use keddah_resource::{Action, Difference, Module, Resource, ResourceId};
    use std::sync::{Arc, Mutex};

    fn losing(names: &[&str]) -> (Plan, DesiredFleet) {
        let node = NodeName::new("10.10.10.11");
        let mut desired = DesiredFleet::default();
        // Any resource will do: what matters is its name.
        desired.add(Resource::new(&node, Module::Pgsql, directory::Spec::absent("/a/stays")));
        for name in names {
            let spec = directory::Spec::absent(format!("/a/{name}"));
            desired.add(Resource::new(&node, Module::Pgsql, spec));
        }
        let change = |name: &&str| PlannedChange {
            id: ResourceId::new(&node, Kind::Directory, format!("/a/{name}")),
            module: Module::Pgsql,
            cluster: None,
            difference: Difference {
                action: Action::Delete,
                class: Class::Destroy,
                fields: Vec::new(),
                reason: "it is declared absent".into(),
                impossible: None,
            },
            certainty: Certainty::Known,
            cause: None,
            caused_by: Vec::new(),
            wave: 0,
            after: Vec::new(),
            owes: Vec::new(),
            moves_services: false,
        };
        let changes = names.iter().map(change).collect();
        (Plan { changes, ..Plan::default() }, desired)
    }

    #[test]
    fn all_losses_are_named_with_the_command_that_allows_them() {
        let (plan, _) = losing(&["old_user", "old_db", "older"]);
        let names = BTreeSet::from(["older".to_owned()]);
        let allowance = Allowance { names, everything: false };
        let findings = lint(&plan, &allowance);
        let command = "keddah apply -i f.yml --yes".to_owned();
        let approval = Approval { allowance, command, ..Approval::default() };
        let error = refused(findings, &approval);
        assert_eq!(error.message, "2 things would be lost for good");
        assert_eq!(error.causes.len(), 2);
        let hint = "to allow it: keddah apply -i f.yml --yes --destroy old_db,old_user,older";
        assert_eq!(error.hints, [hint]);
    }

    #[test]
    fn a_patroni_that_restarts_is_said_to_take_postgresql_along() {
        let (mut plan, _) = losing(&["a", "b", "c"]);
        let node = NodeName::new("10.10.10.11");
        let restarts = [
            (Kind::Postmaster, "pg-test-1", Class::OrderedRestart),
            (Kind::Unit, "patroni.service", Class::OrderedRestart),
            (Kind::Unit, "haproxy.service", Class::Restart),
        ];
        for (change, (kind, name, class)) in plan.changes.iter_mut().zip(restarts) {
            change.id = ResourceId::new(&node, kind, name);
            change.difference.class = class;
        }
        assert_eq!(restarting(&plan), ["pg-test-1", "patroni.service on 10.10.10.11"]);
    }

    #[test]
    fn a_name_that_nothing_bears_is_no_consent() {
        let (plan, desired) = losing(&["old_user"]);
        let one = |name: &str| known_losses(&plan, &desired, &BTreeSet::from([name.to_owned()]));
        assert!(one("old_user").is_ok());
        assert!(one("stays").is_ok(), "what is not lost today may be named");
        assert_eq!(one("old_usr").unwrap_err().hints, ["did you mean `old_user`?"]);
        assert_eq!(one("x").unwrap_err().hints, ["what this plan would lose: old_user"]);
    }

    /// Says one answer after another, and remembers what it was asked.
    struct Person {
        answers: Mutex<Vec<&'static str>>,
        asked: Mutex<Vec<String>>,
    }

    impl Approver for Person {
        fn answer(&self, question: &Question<'_>) -> std::io::Result<String> {
            self.asked.lock().unwrap().push(format!("{question:?}"));
            let answer = self.answers.lock().unwrap().pop();
            answer.map(str::to_owned).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
        }
    }

    struct Standing;

    impl Clock for Standing {
        fn milliseconds(&self) -> i64 {
            0
        }
    }

    /// What comes of a plan that loses two things, and how many questions there were.
    fn asked(answers: &[&'static str]) -> (Result<(), Error>, Vec<String>) {
        let (plan, desired) = losing(&["old_db", "older"]);
        let answers = Mutex::new(answers.iter().rev().copied().collect());
        let person = Arc::new(Person { answers, asked: Mutex::default() });
        let context = Context {
            inventory: None,
            environment: Surroundings {
                user: String::new(),
                group: String::new(),
                host: String::new(),
                pid: 1,
                public_keys: Vec::new(),
                runtime_directory: None,
                ssh_configuration: None,
                executable: None,
                state_directory: "/nowhere".into(),
                clock: Arc::new(Standing),
            },
            sink: Arc::new(|_| {}),
            approver: Some(person.clone()),
            wishes: Arc::new(|| tokio::sync::watch::channel(keddah_fleet::Stop::No).1),
            agents: None,
        };
        let approved = approve(&context, &plan, &desired, Approval::default());
        let asked = person.asked.lock().unwrap().clone();
        (approved, asked)
    }

    #[test]
    fn a_loss_is_typed_by_its_names_and_approved_like_any_change() {
        let (approved, questions) = asked(&["old_db,older", "y"]);
        assert!(approved.is_ok(), "{approved:?}");
        assert!(questions[0].contains("names: \"old_db,older\""), "{questions:?}");
        assert_eq!(questions[1..], ["Apply { changes: 2, restarts: [] }"]);
        for no in [&["old_db"][..], &["y"], &[""], &["old_db,older", "n"], &["old_db,older", ""]] {
            let (approved, questions) = asked(no);
            assert!(matches!(approved, Err(Error::NotApproved)), "{no:?}: {approved:?}");
            assert_eq!(questions.len(), no.len());
        }
        let (approved, _) = asked(&[]);
        assert!(format!("{approved:?}").contains("cannot read the answer"), "{approved:?}");
    }
}
