//! Host-based authentication files as their programs read them: lines in order, of which the first
//! that fits decides ("The pg_hba.conf File" in PostgreSQL's manual; "HBA file format" in
//! PgBouncer's).

mod changes;
mod decision;

pub use changes::{Change, Effect, changes};
pub use decision::{Client, Memberships, Origin, roles_of};

use ipnet::IpNet;
use std::fmt;
use std::net::IpAddr;

/// Connections that a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Connection {
    /// The Unix-domain socket: `local`.
    Local,
    /// TCP, encrypted or not: `host`.
    Any,
    /// TCP with TLS: `hostssl`.
    Tls,
    /// TCP without TLS: `hostnossl`.
    Plain,
    /// TCP by what GSSAPI encrypts or not: `hostgssenc`, `hostnogssenc`.
    Gssapi,
}

/// A word of a line; quotes at its beginning take its special meaning away.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Word {
    /// The text without quotes.
    pub text: String,
    /// Whether it began with a double quote.
    pub quoted: bool,
}

impl Word {
    /// Whether it is this keyword.
    pub fn is(&self, keyword: &str) -> bool {
        !self.quoted && self.text == keyword
    }

    /// The name of the role whose members it stands for, with `+`.
    pub fn group(&self) -> Option<&str> {
        if self.quoted { None } else { self.text.strip_prefix('+') }
    }
}

/// Where a line's clients come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// Lines about the socket have none.
    None,
    /// `all`.
    Everywhere,
    /// A network; one host's has all bits.
    Network(IpNet),
    /// `samehost`, `samenet`, a host's name, or a domain that begins with a dot.
    Named(String),
}

/// One line that decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number in the file, from 1.
    pub number: usize,
    /// Connections it is about.
    pub connection: Connection,
    /// Databases it is about.
    pub databases: Vec<Word>,
    /// Users it is about.
    pub users: Vec<Word>,
    /// Where its clients come from.
    pub address: Address,
    /// How they prove who they are: `scram-sha-256`, `reject`, …
    pub method: String,
    /// What follows the method, such as `map=admins`.
    pub options: Vec<String>,
}

/// Why a line makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its number in the file, from 1.
    pub number: usize,
    /// What is wrong with it.
    pub because: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.number, self.because)
    }
}

/// Methods of PostgreSQL 13 to 18.
const METHODS: &[&str] = &[
    "trust",
    "reject",
    "scram-sha-256",
    "md5",
    "password",
    "gss",
    "sspi",
    "ident",
    "peer",
    "ldap",
    "radius",
    "cert",
    "pam",
    "bsd",
    "oauth",
];

/// Reads a file: the lines that decide, and those that cannot be read. `include` directives are
/// among the latter, since what they lead to is not here.
pub fn parse(text: &str) -> (Vec<Line>, Vec<Unreadable>) {
    let (mut lines, mut unreadable) = (Vec::new(), Vec::new());
    let mut rest = text.lines().enumerate();
    while let Some((at, first)) = rest.next() {
        let mut whole = first.to_owned();
        while whole.ends_with('\\') {
            whole.pop();
            match rest.next() {
                Some((_, next)) => whole.push_str(next),
                None => break,
            }
        }
        let number = at + 1;
        match line(number, &whole) {
            Ok(Some(line)) => lines.push(line),
            Ok(None) => {}
            Err(because) => unreadable.push(Unreadable { number, because }),
        }
    }
    (lines, unreadable)
}

fn line(number: usize, text: &str) -> Result<Option<Line>, String> {
    let fields = fields(text)?;
    let Some(kind) = fields.first().and_then(|field| field.first()) else { return Ok(None) };
    let connection = match kind.text.as_str() {
        "local" => Connection::Local,
        "host" => Connection::Any,
        "hostssl" => Connection::Tls,
        "hostnossl" => Connection::Plain,
        "hostgssenc" | "hostnogssenc" => Connection::Gssapi,
        other => return Err(format!("`{other}` is no type of connection")),
    };
    let mut rest = fields.into_iter().skip(1);
    let databases = rest.next().ok_or("it names no database")?;
    let users = rest.next().ok_or("it names no user")?;
    let address = match connection {
        Connection::Local => Address::None,
        _ => address(&mut rest)?,
    };
    let method = rest.next().and_then(single).ok_or("it names no method")?;
    if !METHODS.contains(&method.as_str()) {
        return Err(format!("`{method}` is no authentication method"));
    }
    let options = rest.flatten().map(|word| word.text).collect();
    Ok(Some(Line { number, connection, databases, users, address, method, options }))
}

fn single(field: Vec<Word>) -> Option<String> {
    match <[Word; 1]>::try_from(field) {
        Ok([word]) => Some(word.text),
        Err(_) => None,
    }
}

fn address(rest: &mut impl Iterator<Item = Vec<Word>>) -> Result<Address, String> {
    let text = rest.next().and_then(single).ok_or("it names no address")?;
    if text == "all" {
        return Ok(Address::Everywhere);
    }
    if text.contains('/') {
        let network = text.parse::<IpNet>().map_err(|_| format!("`{text}` is no network"))?;
        return Ok(Address::Network(network.trunc()));
    }
    let Ok(host) = text.parse::<IpAddr>() else { return Ok(Address::Named(text)) };
    let mask = rest.next().and_then(single).ok_or_else(|| format!("`{text}` has no mask"))?;
    let mask = mask.parse::<IpAddr>().map_err(|_| format!("`{mask}` is no mask"))?;
    let network =
        IpNet::with_netmask(host, mask).map_err(|_| format!("`{mask}` is no mask of `{text}`"))?;
    Ok(Address::Network(network.trunc()))
}

/// The fields of a line: words separated by commas within a field, by blanks between fields.
fn fields(text: &str) -> Result<Vec<Vec<Word>>, String> {
    let mut fields: Vec<Vec<Word>> = Vec::new();
    let mut characters = text.chars().peekable();
    // After a comma, blanks do not end the field.
    let mut joined = false;
    loop {
        while characters.next_if(|one| one.is_whitespace()).is_some() {}
        if characters.next_if_eq(&',').is_some() {
            joined = true;
            continue;
        }
        let mut word = Word { text: String::new(), quoted: false };
        let mut quoting = false;
        let mut any = false;
        while let Some(&one) = characters.peek() {
            match one {
                '"' => {
                    characters.next();
                    // A doubled quote inside of quotes is a quote.
                    if quoting && characters.next_if_eq(&'"').is_some() {
                        word.text.push('"');
                    } else {
                        quoting = !quoting;
                        word.quoted |= !any;
                    }
                    any = true;
                }
                '#' if !quoting => {
                    characters.by_ref().for_each(drop);
                }
                ',' if !quoting => break,
                one if one.is_whitespace() && !quoting => break,
                one => {
                    characters.next();
                    word.text.push(one);
                    any = true;
                }
            }
        }
        if quoting {
            return Err("a quote is not closed".to_owned());
        }
        if !any {
            return Ok(fields);
        }
        match fields.last_mut() {
            Some(field) if joined => field.push(word),
            _ => fields.push(vec![word]),
        }
        joined = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_postgresql_reads_them() {
        let text = "# a comment\n\nlocal all postgres peer # end\n\
                    host \"all\",test , other +readers,\"odd \"\"name\" 10.0.0.0/8 scram-sha-256\n\
                    hostssl replication repl 10.1.2.3 255.255.255.255 \\\n  cert map=m clientcert=verify-full\n\
                    host all all .example.org md5\n";
        let (lines, unreadable) = parse(text);
        assert!(unreadable.is_empty(), "{unreadable:?}");
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0].number, 3);
        assert_eq!((lines[0].connection, &lines[0].address), (Connection::Local, &Address::None));
        let names: Vec<&str> = lines[1].databases.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(names, ["all", "test", "other"]);
        assert!(lines[1].databases[0].quoted && !lines[1].databases[0].is("all"));
        assert_eq!(lines[1].users[0].group(), Some("readers"));
        assert_eq!(lines[1].users[1].text, "odd \"name");
        assert_eq!(lines[2].address, Address::Network("10.1.2.3/32".parse().unwrap()));
        let (odd, _) = parse("local all +\"two words\" md5\n");
        assert_eq!(odd[0].users[0].group(), Some("two words"));
        assert_eq!(lines[2].options, ["map=m", "clientcert=verify-full"]);
        assert_eq!(lines[3].address, Address::Named(".example.org".to_owned()));
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        let text = "host all all 10.0.0.0/40 md5\nlocal all all\nhost all all 10.0.0.1 md5\n\
                    include other.conf\nlocal all all magic\nlocal \"all all trust\n";
        let (lines, unreadable) = parse(text);
        assert!(lines.is_empty(), "{lines:?}");
        let numbers: Vec<usize> = unreadable.iter().map(|one| one.number).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
        assert_eq!(unreadable[1].to_string(), "line 2: it names no method");
    }
}
