//! One mistake in one place, found once for each cluster that uses it: told once, for all of them.

use keddah_core::{Diagnostic, Span};
use std::collections::HashMap;

/// What makes two diagnostics the same: the code and the places.
type Identity = (&'static str, Option<Span>, Vec<Span>);

/// More names than this hide the rest of the line.
const NAMED: usize = 3;

/// What was found, and how often.
#[derive(Default)]
pub(super) struct Repeated {
    /// Which diagnostic was told of each, and what the others said, where they said something else.
    found: HashMap<Identity, (usize, Vec<String>)>,
}

impl Repeated {
    /// Whether this was not found before; `at` is the place it gets if it is told.
    pub(super) fn is_new(&mut self, diagnostic: &Diagnostic, at: usize) -> bool {
        // What has no place is about the inventory as a whole, and each is its own.
        let Some(place) = diagnostic.primary.as_ref().map(|label| label.span) else { return true };
        let related = diagnostic.related.iter().map(|label| label.span).collect();
        let identity = (diagnostic.code, Some(place), related);
        match self.found.get_mut(&identity) {
            None => {
                self.found.insert(identity, (at, Vec::new()));
                true
            }
            Some((_, others)) => {
                if !others.contains(&diagnostic.message) {
                    others.push(diagnostic.message.clone());
                }
                false
            }
        }
    }

    /// Adds to each diagnostic what else it is true of.
    pub(super) fn tell(self, diagnostics: &mut [Diagnostic]) {
        for (at, others) in self.found.into_values() {
            let Some(told) = diagnostics.get_mut(at) else { continue };
            let names: Vec<&str> = others
                .iter()
                .filter(|other| **other != told.message)
                .filter_map(|other| instead(&told.message, other))
                .collect();
            if names.is_empty() {
                continue;
            }
            let rest = names.len().saturating_sub(NAMED);
            let quoted: Vec<String> =
                names.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
            let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
            told.help.push(format!("the same holds for {}{rest}", quoted.join(", ")));
        }
    }
}

/// The one quoted name by which two messages differ, as it stands in the second.
fn instead<'a>(told: &str, other: &'a str) -> Option<&'a str> {
    let (told, other): (Vec<&str>, Vec<&str>) =
        (told.split('`').collect(), other.split('`').collect());
    if told.len() != other.len() {
        return None;
    }
    let mut differing = told.iter().zip(&other).enumerate().filter(|(_, (one, two))| one != two);
    let (at, (_, name)) = differing.next()?;
    // Between quotes are the odd parts.
    (at % 2 == 1 && differing.next().is_none()).then_some(*name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_differs_is_found() {
        let told = "`fsync` of cluster `pg-a`: it can be lost";
        assert_eq!(instead(told, "`fsync` of cluster `pg-b`: it can be lost"), Some("pg-b"));
        assert_eq!(instead(told, "`jit` of cluster `pg-b`: it can be lost"), None);
        assert_eq!(instead(told, "`fsync` of cluster `pg-a`: it is lost"), None);
        assert_eq!(instead(told, told), None);
    }
}
