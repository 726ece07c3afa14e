//! The few rules of the POSIX shell that a remote command line needs.

/// Quotes a word so that any POSIX shell reads it back as it is.
pub fn quote(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Splits a line of arguments, such as `ansible_ssh_common_args`, as a shell would: quotes and
/// backslashes are understood, variables and globs are not.
///
/// # Errors
/// When a quote is never closed.
pub fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        None => return Err(format!("a {character} is never closed in `{line}`")),
                        Some(next) if next == character => break,
                        Some('\\') if character == '"' => match characters.next() {
                            Some(next @ ('"' | '\\' | '$' | '`')) => word.push(next),
                            Some(next) => word.extend(['\\', next]),
                            None => {}
                        },
                        Some(next) => word.push(next),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(characters.next()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_split_as_a_shell_splits_them() {
        let line = r#"-o ProxyCommand="ssh -W %h:%p 'a b'" -F /dev/null  -o a\ b ''"#;
        let expected =
            ["-o", "ProxyCommand=ssh -W %h:%p 'a b'", "-F", "/dev/null", "-o", "a b", ""];
        assert_eq!(split(line).unwrap(), expected);
        assert!(split("-o 'x").is_err());
        assert!(split("  ").unwrap().is_empty());
    }

    #[test]
    fn quoted_words_survive_a_real_shell() {
        for word in ["", "plain/1.2", "it's", "$HOME `id` \"x\" \\ *", "a\nb"] {
            let script = format!("printf %s {}", quote(word));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
    }
}
