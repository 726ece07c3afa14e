//! Host keys: an optional `:port`, and ranges such as `node[01:10]` or `db-[a:c]`.

/// More hosts than this from one key is a typing error, not an inventory.
const MAX_RANGE: usize = 100_000;

/// What a host key stands for.
#[derive(Debug, PartialEq)]
pub(super) struct HostPattern {
    /// The names, in order.
    pub names: Vec<String>,
    /// The port behind the name; zero counts as none.
    pub port: Option<i64>,
}

/// Expands a host key. The error is a sentence without a full stop.
pub(super) fn expand(pattern: &str) -> Result<HostPattern, String> {
    let (address, port) = split_port(pattern);
    // A port belongs to an address only when the rest is one; otherwise the key is taken as it is.
    let (address, port) = match port {
        Some(_) if !is_address(address) => (pattern, None),
        _ => (address, port),
    };
    let port = match port {
        None => None,
        Some(digits) => {
            let port = digits.parse::<i64>().map_err(|_| format!("`{digits}` is not a port"))?;
            (port != 0).then_some(port)
        }
    };
    let mut names = Vec::new();
    if address.contains('[') {
        expand_ranges(address, &mut names)?;
    } else {
        names.push(address.to_owned());
    }
    Ok(HostPattern { names, port })
}

/// Splits `[address]:port`, then `address:port`.
fn split_port(pattern: &str) -> (&str, Option<&str>) {
    let mut address = pattern;
    let mut port = None;
    if let Some((inner, digits)) = split_trailing_port(address)
        && let Some(inner) = inner.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
        && !inner.is_empty()
        && !inner.contains('\n')
    {
        (address, port) = (inner, Some(digits));
    }
    if let Some((rest, digits)) = split_trailing_port(address)
        && has_no_colon_outside_brackets(rest)
    {
        (address, port) = (rest, Some(digits));
    }
    (address, port)
}

fn split_trailing_port(text: &str) -> Option<(&str, &str)> {
    let (rest, digits) = text.rsplit_once(':')?;
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    valid.then_some((rest, digits))
}

/// Free of `:`, `[` and `]`, except for complete bracketed expressions.
fn has_no_colon_outside_brackets(mut text: &str) -> bool {
    while let Some(at) = text.find([':', '[', ']']) {
        if !text[at..].starts_with('[') {
            return false;
        }
        match text[at..].find(']') {
            Some(end) => text = &text[at + end + 1..],
            None => return false,
        }
    }
    true
}

fn is_address(text: &str) -> bool {
    is_host_name(text) || is_ipv6(text)
}

/// Labels of letters, digits, `-`, `_` and ranges, separated by dots; IPv4 addresses are among
/// them.
fn is_host_name(text: &str) -> bool {
    text.split('.').all(|label| {
        let mut rest = label;
        let mut first = true;
        while let Some(c) = rest.chars().next() {
            if c == '[' {
                let Some(end) = rest.find(']') else { return false };
                if !is_range(&rest[1..end], false) {
                    return false;
                }
                rest = &rest[end + 1..];
            } else if c.is_alphanumeric() || c == '_' || (c == '-' && !first) {
                rest = &rest[c.len_utf8()..];
            } else {
                return false;
            }
            first = false;
        }
        !first && !label.ends_with(['-', '_'])
    })
}

fn is_ipv6(text: &str) -> bool {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((head, tail)) = rest.split_once('[') {
        let Some((range, after)) = tail.split_once(']') else { return false };
        if !is_range(range, true) {
            return false;
        }
        plain.push_str(head);
        plain.push('1');
        rest = after;
    }
    plain.push_str(rest);
    plain.parse::<std::net::Ipv6Addr>().is_ok()
}

/// `begin:end` or `begin:end:step`, without its brackets.
fn is_range(text: &str, hexadecimal: bool) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let hex = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let letter = |part: &str| matches!(part.as_bytes(), [byte] if byte.is_ascii_alphabetic());
    let bounds = |begin: &str, end: &str| {
        if hexadecimal {
            hex(begin) && hex(end)
        } else {
            (letter(begin) && letter(end)) || (digits(begin) && digits(end))
        }
    };
    match parts.as_slice() {
        [begin, end] => bounds(begin, end),
        [begin, end, step] => bounds(begin, end) && digits(step),
        _ => false,
    }
}

const LETTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

fn expand_ranges(pattern: &str, names: &mut Vec<String>) -> Result<(), String> {
    let marked = pattern.replacen('[', "|", 1).replacen(']', "|", 1);
    let parts: Vec<&str> = marked.split('|').collect();
    let [head, range, tail] = parts.as_slice() else {
        return Err("a range is written as [begin:end] or [begin:end:step]".to_owned());
    };
    let bounds: Vec<&str> = range.split(':').collect();
    let (begin, end, step) = match bounds.as_slice() {
        [begin, end] => (*begin, *end, "1"),
        [begin, end, step] => (*begin, *end, *step),
        _ => return Err("a range is written as [begin:end] or [begin:end:step]".to_owned()),
    };
    let begin = if begin.is_empty() { "0" } else { begin };
    if end.is_empty() {
        return Err("the range has no end".to_owned());
    }
    let mut width = 0;
    if begin.len() > 1 && begin.starts_with('0') {
        width = begin.len();
        if width != end.len() {
            return Err(format!("`{begin}` and `{end}` must have the same number of digits"));
        }
    }
    let step_number = integer(step);
    let members: Vec<String> = match (LETTERS.find(begin), LETTERS.find(end), &step_number) {
        (Some(from), Some(to), _) if from > to => {
            return Err("the range ends before it begins".to_owned());
        }
        (Some(from), Some(to), Ok(step)) if *step > 0 => LETTERS[from..=to]
            .chars()
            .step_by(usize::try_from(*step).unwrap_or(usize::MAX))
            .map(String::from)
            .collect(),
        _ => numbers(integer(begin)?, integer(end)?, step_number?)?
            .into_iter()
            .map(|number| format!("{number:0width$}"))
            .collect(),
    };
    for member in members {
        let name = format!("{head}{member}{tail}");
        if name.contains('[') {
            expand_ranges(&name, names)?;
        } else {
            names.push(name);
        }
        if names.len() > MAX_RANGE {
            return Err(format!("the range stands for more than {MAX_RANGE} hosts"));
        }
    }
    Ok(())
}

fn integer(text: &str) -> Result<i64, String> {
    text.trim().parse().map_err(|_| format!("`{text}` is neither a number nor a letter"))
}

/// Python's `range(begin, end + 1, step)`.
fn numbers(begin: i64, end: i64, step: i64) -> Result<Vec<i64>, String> {
    if step == 0 {
        return Err("the step of a range cannot be zero".to_owned());
    }
    let stop = end.saturating_add(1);
    let mut result = Vec::new();
    let mut next = Some(begin);
    while let Some(number) = next {
        if (step > 0 && number >= stop) || (step < 0 && number <= stop) {
            break;
        }
        if result.len() >= MAX_RANGE {
            return Err(format!("the range stands for more than {MAX_RANGE} hosts"));
        }
        result.push(number);
        next = number.checked_add(step);
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pattern: &str) -> Vec<String> {
        expand(pattern).unwrap().names
    }

    #[test]
    fn ranges_expand_in_order() {
        assert_eq!(names("node[01:03]"), ["node01", "node02", "node03"]);
        assert_eq!(names("[a:c]"), ["a", "b", "c"]);
        assert_eq!(names("db[1:5:2]-x"), ["db1-x", "db3-x", "db5-x"]);
        assert_eq!(names("n[1:2][a:b]"), ["n1a", "n1b", "n2a", "n2b"]);
        assert_eq!(names("n[:2]"), ["n0", "n1", "n2"]);
        assert_eq!(names("n[5:3]"), [""; 0]);
        assert_eq!(names("10.10.10.[10:11]"), ["10.10.10.10", "10.10.10.11"]);
        for bad in [
            "n[1:]",
            "n[001:2]",
            "n[1",
            "n[1:b]",
            "n[c:a]",
            "n[1:2:0]",
            "n[1:999999999]",
            "a|b[1:2]",
        ] {
            assert!(expand(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ports_belong_to_addresses_only() {
        let port = |pattern| {
            let HostPattern { names, port } = expand(pattern).unwrap();
            (names.join(","), port)
        };
        assert_eq!(port("10.10.10.10:2222"), ("10.10.10.10".into(), Some(2222)));
        assert_eq!(port("[fe80::1]:22"), ("fe80::1".into(), Some(22)));
        assert_eq!(port("fe80::1"), ("fe80::1".into(), None));
        assert_eq!(port("::1"), ("::1".into(), None));
        assert_eq!(port("node[1:2]:22"), ("node1,node2".into(), Some(22)));
        assert_eq!(port("a b:22"), ("a b:22".into(), None));
        assert_eq!(port("node:0"), ("node".into(), None));
        assert_eq!(port("-x:22"), ("-x:22".into(), None));
    }
}
