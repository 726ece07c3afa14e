//! The types parameters have.

use super::Structure;

/// What values a parameter or a field takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ParameterType {
    /// Any text.
    Text,
    /// A name of a role or account.
    Username,
    /// A password or key; never shown.
    Password,
    /// An absolute path.
    Path,
    /// A path relative to somewhere, or absolute.
    RelativePath,
    /// A URL.
    Url,
    /// A PostgreSQL connection URL, which may hold a password.
    DatabaseUrl,
    /// Command-line options in one text.
    Arguments,
    /// Bytes with an optional unit, such as `64MiB`.
    Size,
    /// A span of time with an optional unit, such as `10s` or `7300d`.
    Interval,
    /// The same; the documents have two names for it.
    Duration,
    /// An IP address.
    Ip,
    /// An IP address, or the empty text for the node's own.
    IpOrEmpty,
    /// IP addresses separated by commas; `*` and placeholders are allowed.
    IpList,
    /// An IPv4 address with its prefix length.
    Cidr4,
    /// A network in CIDR notation.
    Cidr,
    /// A whole number within bounds.
    Integer {
        /// Smallest allowed.
        min: i64,
        /// Largest allowed.
        max: i64,
    },
    /// A whole number not below 0, or one of some words.
    IntegerOr {
        /// The words.
        words: &'static [&'static str],
    },
    /// A TCP port.
    Port,
    /// A number within bounds.
    Float {
        /// Smallest allowed.
        min: f64,
        /// Largest allowed.
        max: f64,
    },
    /// Yes or no.
    Bool,
    /// One of some words.
    Choice {
        /// The words known.
        values: &'static [&'static str],
        /// Whether others are fine, too.
        open: bool,
    },
    /// A list of texts.
    TextList,
    /// A list of paths.
    PathList,
    /// A list of networks in CIDR notation.
    CidrList,
    /// A list of TCP ports.
    PortList,
    /// A mapping with keys of the user's choosing.
    Mapping,
    /// A mapping with known fields.
    One(&'static Structure),
    /// A list of mappings with known fields.
    List(&'static Structure),
    /// Text, a number, or a list of texts: older files write some fields either way.
    TextOrList,
}

pub(super) const fn one_of(values: &'static [&'static str]) -> ParameterType {
    ParameterType::Choice { values, open: false }
}
pub(super) const fn any_of(values: &'static [&'static str]) -> ParameterType {
    ParameterType::Choice { values, open: true }
}
pub(super) const fn integer(min: i64, max: i64) -> ParameterType {
    ParameterType::Integer { min, max }
}
pub(super) const fn natural() -> ParameterType {
    // Sequence numbers become parts of names and PostgreSQL integers, hence 31 bits.
    ParameterType::Integer { min: 0, max: i32::MAX as i64 }
}
pub(super) const fn integer_or(words: &'static [&'static str]) -> ParameterType {
    ParameterType::IntegerOr { words }
}
pub(super) const fn number(min: f64, max: f64) -> ParameterType {
    ParameterType::Float { min, max }
}

impl ParameterType {
    /// The name the reference documents give the type.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Text | Self::TextOrList => "string",
            Self::Username => "username",
            Self::Password => "password",
            Self::Path | Self::RelativePath => "path",
            Self::Url => "url",
            Self::DatabaseUrl => "pgurl",
            Self::Arguments => "arg",
            Self::Size => "size",
            Self::Interval => "interval",
            Self::Duration => "duration",
            Self::Ip | Self::IpOrEmpty => "ip",
            Self::IpList => "ip(s)",
            Self::Cidr4 => "cidr4",
            Self::Cidr => "cidr",
            Self::Integer { .. } | Self::IntegerOr { .. } => "int",
            Self::Port => "port",
            Self::Float { .. } => "float",
            Self::Bool => "bool",
            Self::Choice { .. } => "enum",
            Self::TextList => "string[]",
            Self::PathList => "path[]",
            Self::CidrList => "cidr[]",
            Self::PortList => "port[]",
            Self::Mapping | Self::One(_) => "dict",
            Self::List(structure) => structure.list_name,
        }
    }

    /// Whether values of this type may be secrets and must not be shown.
    pub const fn is_secret(&self) -> bool {
        matches!(self, Self::Password | Self::DatabaseUrl)
    }
}
