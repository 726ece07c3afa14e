//! `keddah params`: what every parameter means.

use crate::cli::Context;
use crate::error::CommandError;
use crate::render::params;
use clap::Args;
use keddah_inventory::registry;
use std::process::ExitCode;

/// Explain parameters: type, level, default and meaning
///
/// Without a pattern, lists all of them.
#[derive(Debug, Args)]
pub struct ParamsArgs {
    /// A name, or a part of names; `*` stands for any text
    #[arg(value_name = "NAME|PATTERN")]
    pattern: Option<String>,
}

/// Looks up and shows.
pub fn run(context: &Context, args: ParamsArgs) -> Result<ExitCode, CommandError> {
    let ParamsArgs { pattern } = args;
    let found: Vec<_> = match &pattern {
        None => registry::all().collect(),
        Some(pattern) => match registry::find(registry::canonical(pattern)) {
            Some(exact) => vec![exact],
            None => registry::all().filter(|one| matches(pattern, one.name)).collect(),
        },
    };
    if found.is_empty() {
        let pattern = pattern.unwrap_or_default();
        let mut error = CommandError::user(format!("no parameter is named like `{pattern}`"));
        if let Some(near) = registry::suggest(&pattern) {
            error = error.hint(format!("did you mean `{near}`?"));
        }
        return Err(error);
    }
    if context.output.is_json() {
        context.output.data(&params::json(&found));
    } else {
        context.output.answer(&params::text(&found, context.output.width, &context.output.stdout));
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether a name holds the pattern's pieces in their order; without `*`, anywhere in it.
fn matches(pattern: &str, name: &str) -> bool {
    let pattern = if pattern.contains('*') { pattern.to_owned() } else { format!("*{pattern}*") };
    let pieces: Vec<&str> = pattern.split('*').collect();
    let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else { return false };
    let Some(rest) = name.strip_prefix(first) else { return false };
    let Some(mut rest) = rest.strip_suffix(last) else { return false };
    for piece in &pieces[1..pieces.len() - 1] {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_written() {
        assert!(matches("pg_*port", "pg_port"));
        assert!(matches("*_port", "patroni_port"));
        assert!(!matches("pg_*", "patroni_pg_port"));
        assert!(matches("hba", "pg_hba_rules"));
        assert!(!matches("*a*a*", "pga"));
    }
}
