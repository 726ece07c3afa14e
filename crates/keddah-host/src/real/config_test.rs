//! New configuration, judged by the program that will read it, before it takes the old one's place;
//! together with whatever else its unit gives to that program: what is right alone may contradict the
//! rest (a service declared in two files is fatal for HAProxy), and an error that is found only when
//! everything restarts closes every port at once.

use super::process::{shown, start_with_variables};
use crate::HostError;
use crate::command::Command;
use keddah_resource::kind::file::{Spec, UnitFiles};
use std::fs;
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
    // What systemd does not know nobody loads yet.
    let Some(shown) = shown(&with.unit).await? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for given in values(&start_with_variables(&shown)?, &with.option) {
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
        let start = start_with_variables(shown).unwrap();
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
