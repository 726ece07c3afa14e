//! What a plain scalar means in YAML 1.1, by the rules of PyYAML's resolver and constructor.

use crate::value::Data;

/// What a scalar without quotes and tags is.
#[derive(Debug, PartialEq)]
pub(super) enum Plain {
    /// An ordinary value.
    Data(Data),
    /// `=`, a relic of YAML 1.1 that PyYAML refuses as a value and takes as text as a key.
    DefaultValue,
    /// It looks like a number or a date, but is none.
    Invalid(String),
}

/// Resolves an untagged plain scalar.
pub(super) fn resolve(text: &str) -> Plain {
    let Some(first) = text.bytes().next() else {
        return Plain::Data(Data::Null);
    };
    match first {
        b'~' if text == "~" => return Plain::Data(Data::Null),
        b'n' | b'N' if matches!(text, "null" | "Null" | "NULL") => return Plain::Data(Data::Null),
        b'=' if text == "=" => return Plain::DefaultValue,
        b'0'..=b'9' | b'+' | b'-' | b'.' => {
            if is_float(text) {
                return Plain::Data(Data::Float(parse_float(text)));
            }
            if let Some(int) = parse_int(text) {
                return int;
            }
            if let Some(timestamp) = parse_timestamp(text) {
                return timestamp;
            }
        }
        _ => {
            if let Some(flag) = parse_bool(text) {
                return Plain::Data(Data::Bool(flag));
            }
        }
    }
    Plain::Data(Data::String(text.to_owned()))
}

/// Resolves a scalar of a file that is JSON: Ansible hands such files to Python's `json` module.
pub(super) fn resolve_json(text: &str) -> Plain {
    let data = match text {
        "null" => Data::Null,
        "true" => Data::Bool(true),
        "false" => Data::Bool(false),
        _ if text.contains(['.', 'e', 'E']) => match text.parse() {
            Ok(number) => Data::Float(number),
            Err(_) => Data::String(text.to_owned()),
        },
        _ => {
            let (negative, digits) = match text.strip_prefix('-') {
                Some(digits) => (true, digits),
                None => (false, text),
            };
            return integer(negative, digits, 10);
        }
    };
    Plain::Data(data)
}

/// The booleans of YAML 1.1 as PyYAML has them: `y` and `n` are text.
pub(super) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

fn strip_sign(text: &str) -> (bool, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

fn digits_and_underscores(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_')
}

/// A run that starts with a digit and goes on with digits and underscores.
fn is_digit_run(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit()) && digits_and_underscores(text)
}

/// One part of a base-60 number after a colon.
fn is_sexagesimal_part(text: &str) -> bool {
    match text.as_bytes() {
        [ones] => ones.is_ascii_digit(),
        [b'0'..=b'5', ones] => ones.is_ascii_digit(),
        _ => false,
    }
}

/// Splits off a trailing exponent, which needs its sign: `1.0e+3` is a float, `1.0e3` is text.
fn split_exponent(text: &str) -> Option<(&str, bool)> {
    let Some(at) = text.find(['e', 'E']) else {
        return Some((text, false));
    };
    let exponent = &text[at + 1..];
    let digits = exponent.strip_prefix(['+', '-'])?;
    let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    valid.then_some((&text[..at], true))
}

fn is_float(text: &str) -> bool {
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let (_, unsigned) = strip_sign(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return true;
    }
    let Some((mantissa, has_exponent)) = split_exponent(unsigned) else {
        return false;
    };
    let Some((whole, fraction)) = mantissa.split_once('.') else {
        return false;
    };
    if whole.is_empty() {
        // A fraction alone takes no sign.
        return unsigned.len() == text.len() && is_digit_run(fraction);
    }
    if !digits_and_underscores(fraction) {
        return false;
    }
    if is_digit_run(whole) {
        return true;
    }
    let mut parts = whole.split(':');
    !has_exponent
        && whole.contains(':')
        && parts.next().is_some_and(is_digit_run)
        && parts.all(is_sexagesimal_part)
}

fn parse_float(text: &str) -> f64 {
    let text = text.replace('_', "").to_ascii_lowercase();
    let (negative, unsigned) = strip_sign(&text);
    let magnitude = match unsigned {
        ".inf" => f64::INFINITY,
        ".nan" => return f64::NAN,
        // Summed from the right, as PyYAML does, so that rounding agrees to the last bit.
        _ if unsigned.contains(':') => {
            let mut base = 1.0;
            let mut total = 0.0;
            for part in unsigned.rsplit(':') {
                total += part.parse::<f64>().unwrap_or_default() * base;
                base *= 60.0;
            }
            total
        }
        _ => unsigned.parse().unwrap_or_default(),
    };
    if negative { -magnitude } else { magnitude }
}

fn parse_int(text: &str) -> Option<Plain> {
    let (negative, unsigned) = strip_sign(text);
    let allowed = |rest: &str, radix: u32| {
        !rest.is_empty() && rest.chars().all(|c| c == '_' || c.is_digit(radix))
    };
    if let Some(rest) = unsigned.strip_prefix("0b") {
        return allowed(rest, 2).then(|| integer(negative, rest, 2));
    }
    if let Some(rest) = unsigned.strip_prefix("0x") {
        return allowed(rest, 16).then(|| integer(negative, rest, 16));
    }
    if unsigned == "0" {
        return Some(Plain::Data(Data::Int(0)));
    }
    if let Some(rest) = unsigned.strip_prefix('0') {
        return allowed(rest, 8).then(|| integer(negative, unsigned, 8));
    }
    if !is_digit_run(unsigned.split(':').next().unwrap_or_default()) {
        return None;
    }
    if !unsigned.contains(':') {
        return Some(integer(negative, unsigned, 10));
    }
    if !unsigned.split(':').skip(1).all(is_sexagesimal_part) {
        return None;
    }
    let mut total: i128 = 0;
    for part in unsigned.split(':') {
        let part: i128 = part.replace('_', "").parse().unwrap_or(i128::MAX);
        match total.checked_mul(60).and_then(|total| total.checked_add(part)) {
            Some(sum) => total = sum,
            None => return Some(Plain::Invalid(format!("the number `{text}` is too large"))),
        }
    }
    Some(Plain::Data(from_i128(if negative { -total } else { total })))
}

fn from_i128(number: i128) -> Data {
    i64::try_from(number).map_or_else(|_| Data::BigInt(number.to_string()), Data::Int)
}

/// Python refuses to print integers with more decimal digits than this.
const MAX_DIGITS: usize = 4300;

fn integer(negative: bool, digits: &str, radix: u32) -> Plain {
    let digits: String = digits.chars().filter(|&c| c != '_').collect();
    if digits.is_empty() {
        return Plain::Invalid("a number without digits".to_owned());
    }
    if let Ok(number) = i128::from_str_radix(&digits, radix) {
        return Plain::Data(from_i128(if negative { -number } else { number }));
    }
    let decimal = to_decimal(&digits, radix);
    match decimal {
        Some(decimal) => {
            Plain::Data(Data::BigInt(if negative { format!("-{decimal}") } else { decimal }))
        }
        None => Plain::Invalid(format!("a number of more than {MAX_DIGITS} digits")),
    }
}

/// Schoolbook conversion to decimal, in limbs of nine digits.
fn to_decimal(digits: &str, radix: u32) -> Option<String> {
    const LIMB: u64 = 1_000_000_000;
    if digits.len() > MAX_DIGITS * 4 {
        return None;
    }
    let mut limbs: Vec<u64> = vec![0];
    for digit in digits.chars() {
        let mut carry = u64::from(digit.to_digit(radix)?);
        for limb in &mut limbs {
            let sum = *limb * u64::from(radix) + carry;
            *limb = sum % LIMB;
            carry = sum / LIMB;
        }
        if carry > 0 {
            limbs.push(carry);
        }
    }
    let mut text = limbs.pop().unwrap_or_default().to_string();
    for limb in limbs.iter().rev() {
        text.push_str(&format!("{limb:09}"));
    }
    (text.len() <= MAX_DIGITS).then_some(text)
}

/// Takes between `least` and `most` digits off the front.
fn take_digits<'text>(text: &mut &'text str, least: usize, most: usize) -> Option<&'text str> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if count < least {
        return None;
    }
    let (digits, rest) = text.split_at(count);
    *text = rest;
    Some(digits)
}

fn take_prefix(text: &mut &str, prefix: &str) -> Option<()> {
    *text = text.strip_prefix(prefix)?;
    Some(())
}

/// A date or a time in ISO form; `None` when the text does not even look like one.
fn parse_timestamp(text: &str) -> Option<Plain> {
    let mut rest = text;
    let year = take_digits(&mut rest, 4, 4)?;
    take_prefix(&mut rest, "-")?;
    let month = take_digits(&mut rest, 1, 2)?;
    take_prefix(&mut rest, "-")?;
    let day = take_digits(&mut rest, 1, 2)?;
    let number = |digits: &str| digits.parse::<u32>().unwrap_or(u32::MAX);
    let invalid = || Some(Plain::Invalid(format!("`{text}` is not a date")));

    let leap = number(year).is_multiple_of(4)
        && (!number(year).is_multiple_of(100) || number(year).is_multiple_of(400));
    let days = match number(month) {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    let date_valid = number(year) > 0 && (1..=days).contains(&number(day));
    let date = format!("{year}-{:02}-{:02}", number(month), number(day));
    if rest.is_empty() {
        // Without a time, month and day need both their digits.
        if month.len() != 2 || day.len() != 2 {
            return None;
        }
        return if date_valid { Some(Plain::Data(Data::String(date))) } else { invalid() };
    }

    if rest.starts_with(['T', 't']) {
        rest = &rest[1..];
    } else {
        let trimmed = rest.trim_start_matches([' ', '\t']);
        if trimmed.len() == rest.len() {
            return None;
        }
        rest = trimmed;
    }
    let hour = take_digits(&mut rest, 1, 2)?;
    take_prefix(&mut rest, ":")?;
    let minute = take_digits(&mut rest, 2, 2)?;
    take_prefix(&mut rest, ":")?;
    let second = take_digits(&mut rest, 2, 2)?;
    let mut fraction = "";
    if rest.starts_with('.') {
        rest = &rest[1..];
        fraction = take_digits(&mut rest, 0, usize::MAX)?;
    }
    rest = rest.trim_start_matches([' ', '\t']);
    let mut zone = String::new();
    let mut zone_valid = true;
    if rest == "Z" {
        zone.push_str("+00:00");
    } else if rest.starts_with(['+', '-']) {
        let sign = &rest[..1];
        rest = &rest[1..];
        let zone_hour = take_digits(&mut rest, 1, 2)?;
        let mut zone_minute = "0";
        if !rest.is_empty() {
            take_prefix(&mut rest, ":")?;
            zone_minute = take_digits(&mut rest, 2, 2)?;
        }
        if !rest.is_empty() {
            return None;
        }
        let minutes = number(zone_hour) * 60 + number(zone_minute);
        zone_valid = minutes < 24 * 60;
        let sign = if minutes == 0 { "+" } else { sign };
        zone = format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60);
    } else if !rest.is_empty() || text.ends_with([' ', '\t']) {
        return None;
    }
    let time_valid = number(hour) < 24 && number(minute) < 60 && number(second) < 60;
    if !(date_valid && time_valid && zone_valid) {
        return invalid();
    }
    let fraction = format!("{:0<6}", fraction.get(..6).unwrap_or(fraction));
    let fraction = if fraction == "000000" { String::new() } else { format!(".{fraction}") };
    Some(Plain::Data(Data::String(format!(
        "{date}T{:02}:{minute}:{second}{fraction}{zone}",
        number(hour)
    ))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Plain {
        Plain::Data(Data::String(text.to_owned()))
    }

    #[test]
    fn scalars_are_what_pyyaml_makes_of_them() {
        for same in [
            "y",
            "n",
            "Y",
            "1e3",
            "1e+3",
            "1.0e3",
            "0o644",
            "08",
            "0b2",
            "0x",
            "0xg",
            "1:60",
            "22:99",
            "-.5",
            "+.nan",
            "-.nan",
            ".",
            "..",
            "-",
            "+",
            "1.2.3",
            "10.10.10.10",
            "._1",
            "2030-1-1",
            "2030-12-31T",
            "2030-12-31 10:00",
            "tRue",
            "nULL",
            "1:2:3.4e+1",
            "_1",
            "-2030-12-31",
            "2030-12-31 10:00:00 +1:2",
            "0b",
            "12e03",
            "0.1.2",
            "0:30",
            "1,000",
        ] {
            assert_eq!(resolve(same), text(same), "{same}");
        }
        for (source, number) in [
            ("0", 0),
            ("-0", 0),
            ("0644", 420),
            ("22:22", 1342),
            ("1_000", 1000),
            ("0b1_0", 2),
            ("0xFF", 255),
            ("-0x10", -16),
            ("+12", 12),
            ("1:00:00", 3600),
            ("-1:30", -90),
            ("0_7", 7),
            ("00", 0),
            ("0_", 0),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(resolve(source), Plain::Data(Data::Int(number)), "{source}");
        }
        for (source, number) in [
            ("1.", 1.0),
            ("1.5", 1.5),
            (".5", 0.5),
            ("-1.5", -1.5),
            ("1.0e+3", 1000.0),
            ("1.e+3", 1000.0),
            ("1_0.5", 10.5),
            ("190:20:30.15", 685_230.15),
            ("-.inf", f64::NEG_INFINITY),
            (".5e-1", 0.05),
            ("+.INF", f64::INFINITY),
            ("1._", 1.0),
            ("0.", 0.0),
        ] {
            assert_eq!(resolve(source), Plain::Data(Data::Float(number)), "{source}");
        }
        for (source, iso) in [
            ("2030-12-31", "2030-12-31"),
            ("2001-12-14t21:59:43.10-05:00", "2001-12-14T21:59:43.100000-05:00"),
            ("2001-12-14 21:59:43.10 -5", "2001-12-14T21:59:43.100000-05:00"),
            ("2001-12-14 1:59:43.0", "2001-12-14T01:59:43"),
            ("2001-1-4 21:59:43Z", "2001-01-04T21:59:43+00:00"),
            ("2001-1-4 21:59:43.1234567", "2001-01-04T21:59:43.123456"),
        ] {
            assert_eq!(resolve(source), text(iso), "{source}");
        }
        for invalid in ["2030-13-01", "2030-02-30", "0000-01-01", "2001-1-4 25:00:00", "0b_", "0x_"]
        {
            assert!(matches!(resolve(invalid), Plain::Invalid(_)), "{invalid}");
        }
        for (source, digits) in [
            ("9223372036854775808", "9223372036854775808"),
            ("0xffffffffffffffffffffffffffffffffff", "87112285931760246646623899502532662132735"),
            (
                "-100000000000000000000000000000000000000000",
                "-100000000000000000000000000000000000000000",
            ),
        ] {
            assert_eq!(resolve(source), Plain::Data(Data::BigInt(digits.to_owned())), "{source}");
        }
        assert!(matches!(resolve(&"9".repeat(5000)), Plain::Invalid(_)));
        assert!(matches!(resolve(&"9".repeat(500_000)), Plain::Invalid(_)));
    }
}
