//! Spans of time as inventories write them, in the words of the programs that read them.

use keddah_inventory::milliseconds;

/// The units that HAProxy and PostgreSQL have in common, with their milliseconds, the longest first.
const UNITS: [(&str, u64); 4] = [("d", 86_400_000), ("h", 3_600_000), ("s", 1_000), ("ms", 1)];

/// Both count milliseconds in 31 bits: 24 days and a half.
const LONGEST: u64 = i32::MAX as u64;

/// For HAProxy (its manual, "Time format") or PostgreSQL (its manual, "Parameter Names and Values"), neither
/// of which knows all of an inventory's units, or takes fractions everywhere. What is longer than they
/// can count is as long as they can; what is no span stays as it is, for them to say so.
pub(crate) fn span(text: &str) -> String {
    let Some(milliseconds) = milliseconds(text) else { return text.to_owned() };
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_lowercase());
    let plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    if plain
        && milliseconds <= LONGEST
        && UNITS.iter().any(|(unit, _)| &text[digits.len()..] == *unit)
    {
        return text.to_owned();
    }
    let milliseconds = milliseconds.min(LONGEST);
    let (unit, size) = UNITS
        .into_iter()
        .find(|(_, size)| milliseconds >= *size && milliseconds.is_multiple_of(*size))
        .unwrap_or(("s", 1_000));
    format!("{}{unit}", milliseconds / size)
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn spans_are_whole_and_in_units_that_programs_know() {
        let spans =
            ["24h", "1.5h", "3w", "1y", "15min", "30m", "5", "500ms", "0.5s", "0"].map(span);
        let expected =
            ["24h", "5400s", "21d", "2147483647ms", "900s", "1800s", "5s", "500ms", "500ms", "0s"];
        assert_eq!(spans, expected);
        assert_eq!(span("for ever"), "for ever");
    }
}
