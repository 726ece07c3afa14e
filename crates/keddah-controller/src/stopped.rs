//! Starting decides who leads: where that would throw something away, it is not done without a word.

use crate::CommandError;
use keddah_plan::Start;

/// Refuses to start a member that would lead and has less than another, unless its cluster was named.
///
/// # Errors
/// With what would be lost, and how to choose.
pub fn not_the_wrong_leader(
    starts: &[Start<'_>],
    despite: &[String],
    command: &str,
) -> Result<(), CommandError> {
    let mut refused = starts
        .iter()
        .filter(|start| start.is_refused() && !despite.iter().any(|name| name == start.cluster));
    let Some(first) = refused.next() else { return Ok(()) };
    let mut error = CommandError::user(first.message.clone());
    error.causes.extend(first.losses.iter().cloned());
    for way in &first.ways {
        error = error.hint(way.clone());
    }
    let mut names = vec![first.cluster];
    names.extend(refused.map(|start| start.cluster));
    Err(error.hint(format!("or go on in spite of it: {command} --despite {}", names.join(","))))
}
