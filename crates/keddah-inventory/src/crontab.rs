//! Lines of a crontab as Debian's cron reads them (crontab(5); `load_entry` in its `entry.c`).
//!
//! cron ignores the whole file for one line that it cannot read, and says so only in its journal: the
//! backups beside a misspelt line would never be taken. It also skips what follows a number in a field
//! (`5/10` is 5), which nobody means.

/// What a schedule can be called instead of five fields; cron compares the case, too.
const NAMED: &[&str] =
    &["@reboot", "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

const MONTHS: &[&str] =
    &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// cron's longest command (`MAX_COMMAND`), its end included.
const LONGEST: usize = 1000;

/// One of the five fields of time: its name, its least and largest number, and names for the numbers
/// from the least on.
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59, names: &[] },
    Field { name: "hour", least: 0, most: 23, names: &[] },
    Field { name: "day of the month", least: 1, most: 31, names: &[] },
    Field { name: "month", least: 1, most: 12, names: MONTHS },
    // 0 and 7 are Sunday.
    Field { name: "day of the week", least: 0, most: 7, names: DAYS },
];

/// Who runs a line's command.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Account<'a> {
    /// The account that stands in the line, as in `/etc/crontab`.
    InLine,
    /// This one, which the line must not name.
    Always(&'a str),
}

/// Whether a line sets a variable for the lines below it.
pub fn is_assignment(line: &str) -> bool {
    let Some((name, _)) = line.split_once('=') else { return false };
    let name = name.trim();
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|one| one.is_ascii_alphanumeric() || one == '_')
}

/// Why cron would not take a line, or take it for another one; `None` when all is well.
pub(crate) fn fault(line: &str, account: Account<'_>) -> Option<String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') || is_assignment(line) {
        return line.contains('\n').then(|| "it is more than one line".to_owned());
    }
    if line.contains('\n') {
        return Some("it is more than one line".to_owned());
    }
    let mut rest = line;
    if line.starts_with('@') {
        let name = next(&mut rest);
        if !NAMED.contains(&name) {
            return Some(format!("`{name}` is none of {}", NAMED.join(", ")));
        }
    } else {
        for field in &FIELDS {
            let text = next(&mut rest);
            if text.is_empty() {
                return Some(format!("it has no {}", field.name));
            }
            if let Some(why) = field.fault(text) {
                return Some(format!("`{text}` is no {}: {why}", field.name));
            }
        }
    }
    if matches!(account, Account::InLine) {
        let name = next(&mut rest);
        if !is_account(name) {
            return Some(match name {
                "" => "it names no account and no command".to_owned(),
                _ => format!("`{name}` is no account, which stands before the command"),
            });
        }
    }
    if rest.is_empty() {
        return Some("it has no command".to_owned());
    }
    if let Account::Always(account) = account
        && rest.split_whitespace().next() == Some(account)
    {
        return Some(format!(
            "`{account}` would be run as a command: these lines name no account, and all run as \
             {account}"
        ));
    }
    (rest.len() >= LONGEST).then(|| format!("its command has {LONGEST} characters or more"))
}

/// The next word, taken off.
fn next<'a>(rest: &mut &'a str) -> &'a str {
    let (word, tail) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    *rest = tail.trim_start();
    word
}

/// A name that an account can have (useradd(8) on Debian).
fn is_account(name: &str) -> bool {
    let name = name.strip_suffix('$').unwrap_or(name);
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|one| one.is_ascii_alphanumeric() || "_.-".contains(one))
}

impl Field {
    fn fault(&self, text: &str) -> Option<String> {
        text.split(',').find_map(|part| self.part_fault(part))
    }

    /// `*`, a number, or a range, the first and last with a step.
    fn part_fault(&self, part: &str) -> Option<String> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        if let Some(step) = step {
            if number(step).is_none_or(|step| step == 0) {
                return Some("a step is a number from 1 on".to_owned());
            }
            if range != "*" && !range.contains('-') {
                return Some("a step follows `*` or a range".to_owned());
            }
        }
        if range == "*" {
            return None;
        }
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (self.value(first), self.value(last)) {
            (Some(first), Some(last)) if first <= last => None,
            (Some(_), Some(_)) => Some("its range runs backwards".to_owned()),
            _ => Some(format!("it goes from {} to {}{}", self.least, self.most, self.words())),
        }
    }

    fn value(&self, text: &str) -> Option<u32> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let named = named.and_then(|at| u32::try_from(at).ok()).map(|at| at + self.least);
        let value = named.or_else(|| number(text))?;
        (self.least..=self.most).contains(&value).then_some(value)
    }

    fn words(&self) -> String {
        match self.names {
            [first, .., last] => format!(", or {first} to {last}"),
            _ => String::new(),
        }
    }
}

fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_root(schedule: &str) -> Option<String> {
        fault(&format!("{schedule} root true"), Account::InLine)
    }

    #[test]
    fn schedules_that_cron_reads() {
        for good in [
            "* * * * *",
            "00 01 * * *",
            "*/5 0-23/2 1,15 jan-MAR,12 sun",
            "0\t4  31 12 7",
            "59 23 1-31/40 * 5-7",
            "*,5 * * * Mon-fri",
            "@reboot",
            "@daily",
        ] {
            assert_eq!(of_root(good), None, "{good}");
        }
        for other in ["", "  # a comment", "MAILTO=root", "PATH = /usr/bin:/bin"] {
            assert_eq!(fault(other, Account::InLine), None, "{other}");
        }
    }

    #[test]
    fn schedules_that_silence_a_whole_file() {
        for (bad, why) in [
            ("99 * * * *", "`99` is no minute: it goes from 0 to 59"),
            ("0 24 * * *", "is no hour"),
            ("0 0 0 * *", "is no day of the month: it goes from 1 to 31"),
            ("0 0 * 13 *", "from 1 to 12, or jan to dec"),
            ("0 0 * * 8", "from 0 to 7, or sun to sat"),
            ("0 0 * * sunday", "is no day of the week"),
            ("0 0 * * fri-sun", "backwards"),
            ("30-10 * * * *", "backwards"),
            ("*/0 * * * *", "a step is a number"),
            ("*/x * * * *", "a step is a number"),
            ("5/10 * * * *", "a step follows"),
            ("1,,2 * * * *", "is no minute"),
            ("-1 * * * *", "is no minute"),
            ("+1 * * * *", "is no minute"),
            ("*5 * * * *", "is no minute"),
            ("@Daily", "is none of @reboot"),
            ("@every", "is none of"),
        ] {
            let said = of_root(bad).unwrap_or_default();
            assert!(said.contains(why), "{bad}: {said}");
        }
    }

    #[test]
    fn a_line_has_its_account_and_its_command() {
        let node = |line| fault(line, Account::InLine).unwrap_or_default();
        assert!(node("* * * * * root").contains("no command"));
        assert!(node("* * * * *").contains("no account and no command"));
        assert!(node("0 1 * * * /pg/bin/pg-backup full").contains("is no account"));
        assert!(node("0 1 * *").contains("no day of the week"));
        assert!(node("0 1 * * * root true\n99 * * * * root true").contains("more than one line"));
        assert!(node(&format!("@daily root {}", "x".repeat(1000))).contains("characters"));
        let server = |line| fault(line, Account::Always("postgres"));
        assert_eq!(server("00 01 * * * /pg/bin/pg-backup full"), None);
        assert_eq!(server("@daily /pg/bin/pg-backup full"), None);
        assert!(server("@daily").is_some_and(|why| why.contains("no command")));
        let named = server("00 01 * * * postgres /pg/bin/pg-backup full").unwrap_or_default();
        assert!(named.contains("run as a command"), "{named}");
    }
}
