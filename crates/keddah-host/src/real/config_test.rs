//! New configuration, judged by the program that will read it, before it takes the old one's place;
//! together with whatever else its unit gives to that program: what is right alone may contradict the
//! rest (a service declared in two files is fatal for HAProxy), and an error that is found only when
//! everything restarts closes every port at once.

use crate::HostError;
use crate::command::Command;
use keddah_resource::kind::file::{Spec, UnitFiles};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Lets the program judge a candidate.
///
/// # Errors
/// When it refuses; the error holds what it said.
pub(super) async fn test(
    spec: &Spec,
    words: &[String],
    with: Option<&UnitFiles>,
    candidate: &Path,
) -> Result<(), HostError> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let path = candidate.to_string_lossy();
    let mut command = Command::new(program);
    for word in arguments {
        let word = match word.strip_prefix("{if ").and_then(|rest| rest.split_once('}')) {
            Some((condition, _)) if !Path::new(condition).exists() => continue,
            Some((_, word)) => word,
            None => word,
        };
        command = command.arg(word.replace("{}", &path));
    }
    let others = match with {
        Some(with) => others(with, &spec.path, words).await?,
        None => Vec::new(),
    };
    if let Some(with) = with {
        for other in &others {
            command = command.args([&with.option, other]);
        }
    }
    let output = command.run().await?;
    if output.code == 0 {
        return Ok(());
    }
    let mut message = format!("{program} refuses the new content of {}", spec.path);
    if !others.is_empty() {
        message.push_str(&format!(" beside {}", others.join(", ")));
    }
    let error = HostError::new(message);
    if spec.is_secret() {
        // What it complains about may quote the content.
        return Err(error);
    }
    let said = format!("{}\n{}", output.stdout, output.stderr);
    let said = said.replace(&*path, &spec.path);
    let error = if said.trim().is_empty() {
        error.with_log(&format!("it ended with exit code {} and said nothing", output.code))
    } else {
        error.with_log(&said)
    };
    let unit = with.filter(|_| !others.is_empty()).map(|with| with.unit.as_str());
    Err(match unit {
        Some(unit) => error.with_hint(format!(
            "{unit} loads {} as well: take them away if nothing in them is needed, or change the \
             inventory so that they agree",
            others.join(", ")
        )),
        None => error,
    })
}

/// What else the unit gives by the option, files of directories one by one, without what the command
/// names already and without the old content of the file itself.
async fn others(with: &UnitFiles, path: &str, named: &[String]) -> Result<Vec<String>, HostError> {
    let text = Command::new("systemctl")
        .args(["--no-ask-password", "show", "--property"])
        .args(["LoadState,ExecStart,Environment,EnvironmentFiles", "--", &with.unit])
        .run()
        .await?;
    // Where systemd does not run, or does not know it, nobody loads anything yet.
    if text.code != 0 || !text.stdout.lines().any(|line| line == "LoadState=loaded") {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for given in values(&start(&text.stdout)?, &with.option) {
        let place = Path::new(&given);
        if !place.is_dir() {
            found.push(given);
            continue;
        }
        let failed = |error| HostError::path("read", place, &error);
        let mut names = Vec::new();
        for entry in fs::read_dir(place).map_err(failed)? {
            names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        let loaded = |name: &&String| !name.starts_with('.') && name.ends_with(&with.ending);
        let directory = given.trim_end_matches('/');
        found.extend(names.iter().filter(loaded).map(|name| format!("{directory}/{name}")));
    }
    found.retain(|one| one != path && !named.contains(one));
    found.dedup();
    Ok(found)
}

/// The words with which a unit starts its program, its variables put in.
fn start(shown: &str) -> Result<Vec<String>, HostError> {
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    let mut command = "";
    let mut files = Vec::new();
    for (name, value) in shown.lines().filter_map(|line| line.split_once('=')) {
        match name {
            "ExecStart" if command.is_empty() => {
                let rest = value.split_once("argv[]=").map_or("", |(_, rest)| rest);
                command = rest.split(" ; ").next().unwrap_or_default();
            }
            "Environment" => {
                let words = quoted_words(value);
                let pairs = words.iter().filter_map(|word| word.split_once('='));
                variables.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
            }
            "EnvironmentFiles" => files.extend(value.rsplit_once(" (").map(|(path, _)| path)),
            _ => {}
        }
    }
    // Files win over what the unit itself says (systemd.exec(5), `EnvironmentFile=`).
    for file in files {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(HostError::path("read", Path::new(file), &error)),
        };
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
            if let Some((name, value)) = line.split_once('=') {
                let value = value.trim().trim_matches(['"', '\'']);
                variables.insert(name.trim().to_owned(), value.to_owned());
            }
        }
    }
    let mut words = Vec::new();
    for word in command.split_whitespace() {
        let whole = word.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        match (whole, word.strip_prefix('$')) {
            (Some(name), _) => words.extend(variables.get(name).cloned()),
            (None, Some(name)) => {
                let value = variables.get(name).map(String::as_str).unwrap_or_default();
                words.extend(value.split_whitespace().map(str::to_owned));
            }
            (None, None) => words.push(word.to_owned()),
        }
    }
    Ok(words)
}

/// Words in which double quotes hold blanks together.
fn quoted_words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for character in text.chars() {
        match character {
            _ if escaped => {
                escaped = false;
                words.last_mut().into_iter().for_each(|word| word.push(character));
            }
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().into_iter().for_each(|word| word.push(character)),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What follows an option, each time that it is there.
fn values(words: &[String], option: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == option {
            // Several may follow one option, up to the next (HAProxy's management guide, "-f").
            let files = words.clone().take_while(|word| !word.starts_with('-'));
            found.extend(files.cloned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_unit_are_found_behind_its_variables() {
        let shown = "LoadState=loaded\n\
                     ExecStart={ path=/usr/sbin/haproxy ; argv[]=/usr/sbin/haproxy -Ws -f $CONFIG -p ${PIDFILE} $EXTRAOPTS ; ignore_errors=no ; pid=0 }\n\
                     Environment=CONFIG=/etc/haproxy/haproxy.cfg PIDFILE=/run/h.pid \"EXTRAOPTS=-S /run/h.sock -f /etc/haproxy/auth.cfg /etc/haproxy/conf.d\"\n\
                     EnvironmentFiles=/nowhere/at/all (ignore_errors=yes)\n";
        let start = start(shown).unwrap();
        assert_eq!(
            start[..5],
            ["/usr/sbin/haproxy", "-Ws", "-f", "/etc/haproxy/haproxy.cfg", "-p"]
        );
        assert_eq!(
            values(&start, "-f"),
            ["/etc/haproxy/haproxy.cfg", "/etc/haproxy/auth.cfg", "/etc/haproxy/conf.d"]
        );
    }
}
