//! Status: ask → judge, once or again and again; always answers.

use crate::steps::{self, Choice, HealthCheck, Selection};
use crate::{Context, Error};
use keddah_core::NodeName;
use keddah_fleet::{FirstAnswers, FirstQuestions, Limits};
use keddah_inventory::Inventory;
use keddah_plan::health::Health;
use std::collections::BTreeSet;
use std::time::Duration;

/// What is to be looked at.
#[derive(Debug, Clone)]
pub struct StatusRequest {
    /// Only these hosts, groups or clusters; all where none is named.
    pub limit: Vec<String>,
    /// Within which time there is an answer.
    pub within: Duration,
}

/// What is asked of whom, as often as somebody wants to know.
pub struct Watch {
    inventory: Inventory,
    selection: Selection,
    check: HealthCheck,
    limits: Limits,
    whole: Duration,
    unread: usize,
}

/// How the fleet does.
#[derive(Debug)]
pub struct Seen {
    /// Judged.
    pub health: Health,
    /// How many nodes were meant.
    pub nodes: usize,
    /// Errors of the inventory: what they keep from being read is not looked at.
    pub unread: usize,
    /// When it was judged, in seconds since 1970-01-01 UTC.
    pub now: i64,
}

impl Watch {
    /// Reads the inventory; errors in it are told, and do not keep from looking at the rest.
    ///
    /// # Errors
    /// When it makes no sense at all, holds no host, or does not know a name.
    pub fn of(context: &Context, request: StatusRequest) -> Result<Self, Error> {
        let StatusRequest { limit, within } = request;
        let mut read = steps::read(context)?;
        let inventory = match read.inventory.take() {
            Some(inventory) if inventory.hosts().next().is_some() => inventory,
            // Of a fleet without a host nothing is known, least of all that it is well.
            nothing => {
                read.inventory = nothing;
                return Err(Error::problems(read));
            }
        };
        // Whoever looks for what is wrong at night is not helped by a refusal for a mistake elsewhere; but
        // what could not be read is not looked at either.
        let unread = steps::tell_what_is_missing(context, &read);
        let selection = Selection::of(&Choice { limit, ..Choice::default() }, &inventory)?;
        let (opening, answer) = (within.mul_f64(0.55), within.mul_f64(0.4));
        let check = HealthCheck::of(context, &read, &inventory, &selection, answer)?;
        let limits =
            Limits { opening, answer: within, pulse: answer, looking: answer, ..Limits::default() };
        // A fleet that lets in quickly and is busy gets the time that no login needed.
        let whole = within.mul_f64(0.95);
        Ok(Self { inventory, selection, check, limits, whole, unread })
    }

    /// Asks and judges.
    ///
    /// # Errors
    /// When a host's variables make no sense. Who does not answer is a finding.
    pub async fn look(&self, context: &Context) -> Result<Seen, Error> {
        let Self { inventory, selection, check, limits, whole, unread } = self;
        let nodes: BTreeSet<NodeName> = check.nodes().cloned().collect();
        let whole = Some(*whole);
        let questions = check.ask_with(FirstQuestions { whole, ..FirstQuestions::default() });
        let (FirstAnswers { health, .. }, asked) =
            steps::connect_within(context, inventory, &nodes, *limits, questions).await?;
        let health = check.judge_told(asked, health);
        let now = context.environment.now();
        Ok(Seen { health, nodes: selection.nodes().len(), unread: *unread, now })
    }
}
