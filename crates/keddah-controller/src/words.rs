//! Numbers in words, as errors, notes and views say them.

/// `1 change`, `2 changes`, `3 directories`.
pub fn counted(count: usize, noun: &str) -> String {
    match noun.strip_suffix('y') {
        _ if count == 1 => format!("1 {noun}"),
        Some(stem) => format!("{count} {stem}ies"),
        None if noun.ends_with('s') => format!("{count} {noun}"),
        None => format!("{count} {noun}s"),
    }
}
