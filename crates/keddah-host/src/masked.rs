//! What others have written, told without their secrets: command lines, and what programs say.

/// Words in the names of options and settings whose values are secrets.
const SECRET: [&str; 5] = ["pass", "secret", "token", "credential", "key"];

/// What stands in a secret's place.
const MASK: &str = "********";

/// A command line in which whatever may be a secret is masked: it is shown to people, and programs of
/// others take passwords as arguments (vip-manager's `--etcd-password`). Masked are the values of options
/// whose names say so, and what a URL says of a user.
pub(crate) fn command_line<'a>(words: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names_a_secret = |option: &str| {
        let option = option.to_lowercase();
        // An option with a file's name in it, such as `--key-file`, names no secret itself.
        option.starts_with('-')
            && !option.contains("file")
            && SECRET.iter().any(|word| option.contains(word))
    };
    let mut shown: Vec<String> = Vec::new();
    let mut value_follows = false;
    for word in words {
        let option = word.split('=').next().unwrap_or_default();
        let masked = if value_follows && !word.starts_with('-') {
            MASK.to_owned()
        } else if names_a_secret(option) && word.contains('=') {
            format!("{option}={MASK}")
        } else {
            without_user(word)
        };
        value_follows = names_a_secret(option) && !word.contains('=');
        shown.push(masked);
    }
    shown
}

/// A URL without what it says of a user.
fn without_user(word: &str) -> String {
    match word.split_once("://") {
        Some((scheme, rest)) if rest.contains('@') => {
            let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            format!("{scheme}://{MASK}@{host}")
        }
        _ => word.to_owned(),
    }
}

/// What a program says, for a person: programs quote the line that they stumble over, and a line may
/// hold a password. Masked is what follows the word `password` or its kin in such a quotation, up to the
/// line's end, for a password may have blanks in it; and what a URL says of a user.
pub(crate) fn said(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = match line.strip_suffix('\n') {
            Some(line) => (line, "\n"),
            None => (line, ""),
        };
        let line = match secret_at(line) {
            Some(at) => format!("{}{MASK}", &line[..at]),
            None => line.to_owned(),
        };
        let words = line.split(' ').map(without_user).collect::<Vec<_>>();
        shown.push_str(&words.join(" "));
        shown.push_str(end);
    }
    shown
}

/// Where a secret begins in a line: behind `password`, `auth_pass`, `secret_key` and their kin as a
/// setting, with `=` or `:` and a value, or behind a configuration keyword of that name and a blank.
fn secret_at(line: &str) -> Option<usize> {
    /// Keywords that a blank divides from the secret (HAProxy's and keepalived's).
    const KEYWORDS: [&str; 4] = ["insecure-password", "auth_pass", "requirepass", "masterauth"];
    let mut at = 0;
    for word in line.split(' ') {
        let end = at + word.len();
        let name: String = word.trim_matches(['\'', '"', '`']).to_lowercase();
        if KEYWORDS.contains(&name.as_str()) && end < line.len() {
            return Some(end + 1);
        }
        if let Some(divided) = word.find(['=', ':']).filter(|divided| at + divided + 1 < end) {
            let name = word[..divided].to_lowercase();
            let names_a_secret = ["password", "passwd", "_pass", "secret", "token"]
                .iter()
                .any(|secret| name.ends_with(secret));
            if names_a_secret {
                return Some(at + divided + 1);
            }
        }
        at = end + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_quotes_holds_no_password() {
        let quoted = said(
            "[ALERT] parsing [/etc/haproxy/auth.cfg:3]: 'user' x insecure-password My Secret\nnext\n",
        );
        assert_eq!(
            quoted,
            "[ALERT] parsing [/etc/haproxy/auth.cfg:3]: 'user' x insecure-password ********\nnext\n"
        );
        assert_eq!(said("bad: password=abc def"), "bad: password=********");
        assert_eq!(said("to http://user:word@host/x"), "to http://********@host/x");
        // The reason itself stays: these are no quotations.
        for reason in [
            "FATAL: password authentication failed for user \"x\"",
            "keepalived: auth_pass",
            "unknown keyword 'tokens' in 'listen' section",
            "Warning: no password supplied",
        ] {
            assert_eq!(said(reason), reason);
        }
    }
}
