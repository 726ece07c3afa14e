//! A PostgreSQL parameter as `pg_settings` describes it, and which values it takes.

use serde::{Deserialize, Serialize};

/// One row of `pg_settings` without its value ("System Views", `pg_settings` in PostgreSQL's
/// manual).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The parameter's name.
    pub name: String,
    /// `bool`, `enum`, `integer`, `real` or `string`.
    pub vartype: String,
    /// What a number without a unit counts, such as `8kB` or `ms`; empty for numbers without one.
    #[serde(default)]
    pub unit: String,
    /// The smallest number, in that unit; empty when there is none.
    #[serde(default)]
    pub min_val: String,
    /// The largest number.
    #[serde(default)]
    pub max_val: String,
    /// The words of an `enum`, separated by commas.
    #[serde(default)]
    pub enumvals: String,
    /// What it takes to change it: `internal` (impossible), `postmaster` (a restart), `sighup`
    /// (a reload), or something that each session may do for itself.
    pub context: String,
}

/// Words for yes and no, of which PostgreSQL takes any beginning that is unambiguous.
const YES_NO: [&str; 6] = ["true", "false", "yes", "no", "on", "off"];

/// Units of memory in bytes and of time in milliseconds ("Setting Parameters" in the manual).
const MEMORY: [(&str, f64); 5] = [
    ("B", 1.0),
    ("kB", 1024.0),
    ("MB", 1_048_576.0),
    ("GB", 1_073_741_824.0),
    ("TB", 1_099_511_627_776.0),
];
const TIME: [(&str, f64); 6] = [
    ("us", 0.001),
    ("ms", 1.0),
    ("s", 1000.0),
    ("min", 60_000.0),
    ("h", 3_600_000.0),
    ("d", 86_400_000.0),
];

impl Setting {
    /// Reads one line of a table: name, type, unit, smallest, largest, words, context, separated by
    /// tabs.
    pub fn parse(line: &str) -> Option<Self> {
        let mut columns = line.split('\t').map(str::to_owned);
        Some(Self {
            name: columns.next()?,
            vartype: columns.next()?,
            unit: columns.next()?,
            min_val: columns.next()?,
            max_val: columns.next()?,
            enumvals: columns.next()?,
            context: columns.next()?,
        })
    }

    /// Why PostgreSQL would not take a value; `None` when it would.
    pub fn refuses(&self, value: &str) -> Option<String> {
        if self.context == "internal" {
            return Some("it cannot be set: PostgreSQL only shows it".to_owned());
        }
        let word = value.trim().to_ascii_lowercase();
        match self.vartype.as_str() {
            "bool" => (!is_yes_no(&word)).then(|| "it is either on or off".to_owned()),
            "enum" => {
                let words: Vec<&str> = self.enumvals.split(',').collect();
                // What can be on and off takes the other words for yes and no, too.
                let known = words.iter().any(|known| known.eq_ignore_ascii_case(&word))
                    || (words.contains(&"on") && is_yes_no(&word));
                (!known).then(|| format!("it is one of {}", words.join(", ")))
            }
            "integer" | "real" => self.refuses_number(value.trim()),
            _ => None,
        }
    }

    fn refuses_number(&self, value: &str) -> Option<String> {
        let end = value
            .char_indices()
            .find(|&(at, character)| !is_numeric(value, at, character))
            .map_or(value.len(), |(at, _)| at);
        let (digits, unit) = (&value[..end], value[end..].trim());
        let Some(number) = parse_number(digits) else {
            return Some(match self.units() {
                Some(units) => {
                    let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
                    format!("it is a number, alone or with one of the units {}", names.join(", "))
                }
                None => "it is a number".to_owned(),
            });
        };
        let number = if unit.is_empty() {
            number
        } else {
            let Some(units) = self.units() else {
                return Some(format!(
                    "it is a number without a unit, so `{unit}` cannot follow it"
                ));
            };
            let Some(&(_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
                let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
                return Some(format!("its units are {}, not `{unit}`", names.join(", ")));
            };
            number * factor / self.base(units)
        };
        let number = if self.vartype == "integer" { number.round() } else { number };
        let bound = |text: &str| text.parse::<f64>().ok();
        let outside = bound(&self.min_val).is_some_and(|least| number < least)
            || bound(&self.max_val).is_some_and(|most| number > most);
        let unit = if self.unit.is_empty() { String::new() } else { format!(" in {}", self.unit) };
        outside.then(|| format!("it goes from {} to {}{unit}", self.min_val, self.max_val))
    }

    /// Whether two values are the same to PostgreSQL: `1GB` and `131072` of `8kB` are. What cannot be read is the
    /// same only where it is spelt so.
    pub fn same(&self, one: &str, other: &str) -> bool {
        if one.trim() == other.trim() {
            return true;
        }
        match self.vartype.as_str() {
            "integer" | "real" => match (self.number(one.trim()), self.number(other.trim())) {
                (Some(one), Some(other)) => (one - other).abs() < f64::EPSILON,
                _ => false,
            },
            "bool" => match (yes_or_no(one), yes_or_no(other)) {
                (Some(one), Some(other)) => one == other,
                _ => false,
            },
            "enum" => one.trim().eq_ignore_ascii_case(other.trim()),
            _ => false,
        }
    }

    /// A number in the parameter's own unit.
    fn number(&self, value: &str) -> Option<f64> {
        let end = value
            .char_indices()
            .find(|&(at, character)| !is_numeric(value, at, character))
            .map_or(value.len(), |(at, _)| at);
        let (number, unit) = (parse_number(&value[..end])?, value[end..].trim());
        let number = if unit.is_empty() {
            number
        } else {
            let units = self.units()?;
            let &(_, factor) = units.iter().find(|(name, _)| *name == unit)?;
            number * factor / self.base(units)
        };
        Some(if self.vartype == "integer" { number.round() } else { number })
    }

    fn units(&self) -> Option<&'static [(&'static str, f64)]> {
        match self.unit.trim_start_matches(|character: char| character.is_ascii_digit()) {
            "" => None,
            unit if MEMORY.iter().any(|(name, _)| *name == unit) => Some(&MEMORY),
            _ => Some(&TIME),
        }
    }

    /// How much one of the parameter's own unit is, such as 8192 for `8kB`.
    fn base(&self, units: &[(&str, f64)]) -> f64 {
        let digits = self.unit.bytes().take_while(u8::is_ascii_digit).count();
        let count = self.unit[..digits].parse::<f64>().unwrap_or(1.0);
        let unit = &self.unit[digits..];
        count * units.iter().find(|(name, _)| *name == unit).map_or(1.0, |(_, factor)| *factor)
    }
}

/// Whether a character may stand at this place of a number, octal and hexadecimal ones included.
fn is_numeric(text: &str, at: usize, character: char) -> bool {
    if text.starts_with("0x") || text.starts_with("0X") {
        return at < 2 || character.is_ascii_hexdigit();
    }
    let exponent = |at: usize| {
        at > 0
            && matches!(text.as_bytes()[at], b'e' | b'E')
            && text[at + 1..].starts_with(|next: char| next.is_ascii_digit() || next == '-')
    };
    character.is_ascii_digit()
        || character == '.'
        || (matches!(character, '-' | '+') && (at == 0 || exponent(at - 1)))
        || (character.is_ascii() && exponent(at))
}

fn parse_number(digits: &str) -> Option<f64> {
    if let Some(hexadecimal) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return u32::from_str_radix(hexadecimal, 16).ok().map(f64::from);
    }
    let octal = digits.len() > 1 && digits.starts_with('0') && !digits.contains(['.', 'e', 'E']);
    if octal {
        return u32::from_str_radix(digits, 8).ok().map(f64::from);
    }
    digits.parse().ok()
}

/// What a word of yes and no says; nothing where it could begin either.
fn yes_or_no(word: &str) -> Option<bool> {
    let word = word.trim().to_ascii_lowercase();
    is_yes_no(&word).then(|| {
        word == "1" || word == "on" || "true".starts_with(&word) || "yes".starts_with(&word)
    })
}

fn is_yes_no(word: &str) -> bool {
    // `o` could begin both.
    matches!(word, "0" | "1")
        || (!matches!(word, "" | "o") && YES_NO.iter().any(|known| known.starts_with(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str, value: &str) -> Option<String> {
        Setting::parse(line).unwrap().refuses(value)
    }

    #[test]
    fn numbers_have_units_and_bounds() {
        let buffers = "shared_buffers\tinteger\t8kB\t16\t1073741823\t\tpostmaster";
        for good in ["16", "128MB", "128 MB", "1.5GB", "0x100", "131072B"] {
            assert_eq!(refused(buffers, good), None, "{good}");
        }
        for (bad, why) in [
            ("8", "from 16 to 1073741823 in 8kB"),
            ("64kB", "from 16"),
            ("128mb", "units are B, kB, MB, GB, TB, not `mb`"),
            ("lots", "alone or with one of the units"),
            ("", "alone or with"),
            ("100TB", "from 16"),
        ] {
            let said = refused(buffers, bad).unwrap_or_default();
            assert!(said.contains(why), "{bad}: {said}");
        }
        let timeout = "checkpoint_timeout\tinteger\ts\t30\t86400\t\tsighup";
        assert_eq!(refused(timeout, "15min"), None);
        assert_eq!(refused(timeout, "30000ms"), None);
        assert!(refused(timeout, "15 minutes").is_some());
        assert!(refused(timeout, "2d").is_some());
        let connections = "max_connections\tinteger\t\t1\t262143\t\tpostmaster";
        assert!(refused(connections, "100MB").unwrap().contains("without a unit"));
        assert_eq!(refused("jit_above_cost\treal\t\t-1\t1.79769e+308\t\tuser", "-1"), None);
        assert_eq!(refused("seed\treal\t\t0\t1e9\t\tuser", "1e5"), None);
    }

    #[test]
    fn values_are_the_same_in_whichever_unit_they_are_spelt() {
        let same =
            |line: &str, one: &str, other: &str| Setting::parse(line).unwrap().same(one, other);
        let buffers = "shared_buffers\tinteger\t8kB\t16\t1073741823\t\tpostmaster";
        assert!(same(buffers, "131072", "1GB"));
        assert!(!same(buffers, "131072", "2GB"));
        assert!(!same(buffers, "131072", "lots"));
        let standby = "hot_standby\tbool\t\t\t\t\tpostmaster";
        assert!(same(standby, "on", "yes") && same(standby, "off", "F"));
        assert!(!same(standby, "on", "off") && !same(standby, "on", "o"));
        let level = "wal_level\tenum\t\t\t\tminimal,replica,logical\tpostmaster";
        assert!(same(level, "logical", "Logical") && !same(level, "logical", "replica"));
        let libraries = "shared_preload_libraries\tstring\t\t\t\t\tpostmaster";
        assert!(same(libraries, "a, b", "a, b") && !same(libraries, "a, b", "b, a"));
    }

    #[test]
    fn words_are_those_that_postgresql_knows() {
        let level = "wal_level\tenum\t\t\t\tminimal,replica,logical\tpostmaster";
        assert_eq!(refused(level, "Logical"), None);
        assert!(refused(level, "high").unwrap().contains("minimal, replica, logical"));
        let commit = "synchronous_commit\tenum\t\t\t\tlocal,remote_write,remote_apply,on,off\tuser";
        assert_eq!(refused(commit, "true"), None);
        let fsync = "fsync\tbool\t\t\t\t\tsighup";
        for good in ["on", "OFF", "1", "yes", "t"] {
            assert_eq!(refused(fsync, good), None, "{good}");
        }
        for bad in ["o", "2", "", "enabled"] {
            assert!(refused(fsync, bad).is_some(), "{bad}");
        }
        assert!(refused("block_size\tinteger\t\t8192\t8192\t\tinternal", "8192").is_some());
        assert_eq!(refused("search_path\tstring\t\t\t\t\tuser", "anything"), None);
    }
}
