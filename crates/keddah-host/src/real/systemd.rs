//! What systemd says of units, by one question for all who look at the same time: it gathers all properties
//! of a unit for each, which costs it more than the rest of a look at it.

use crate::command::Command;
use crate::{HostError, round};

/// Whatever anybody who looks wants to know of a unit.
const PROPERTIES: &str = "Id,LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,CanReload,\
    MainPID,ExecMainStartTimestamp,StateChangeTimestamp,StateChangeTimestampMonotonic,FragmentPath,\
    DropInPaths,ExecStart";

/// The properties of each of these units, a line for each, in their order; times are seconds since 1970.
///
/// # Errors
/// When systemd does not answer, or not of all of them.
pub(super) async fn show(units: &[&str]) -> Result<Vec<String>, HostError> {
    round::units(units, ask).await
}

async fn ask(units: Vec<String>) -> Result<Vec<String>, HostError> {
    let text = Command::new("systemctl")
        .args(["--no-ask-password", "show", "--timestamp=unix", "--property", PROPERTIES, "--"])
        .args(&units)
        .asks("systemd")
        .succeed()
        .await?;
    let told: Vec<String> = text
        .split("\n\n")
        .filter(|paragraph| !paragraph.trim().is_empty())
        .map(str::to_owned)
        .collect();
    if told.len() == units.len() {
        Ok(told)
    } else {
        Err(HostError::new(format!(
            "systemd was asked for {} units and told of {}",
            units.len(),
            told.len(),
        )))
    }
}
