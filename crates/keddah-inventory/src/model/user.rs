//! Users and roles, `pg_users` and `pg_default_roles`.

use super::read::{Entry, entries, read_all};
use super::{PoolMode, State};
use crate::registry::structures;
use crate::{Params, parameters};
use keddah_core::{Secret, Span};
use time::{Date, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

/// A role of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgUser {
    /// Its name.
    pub name: String,
    /// Whether it shall exist.
    pub state: State,
    /// Its password, in plain text or as a SCRAM-SHA-256 verifier; `None` leaves it alone.
    pub password: Option<Secret>,
    /// Whether one can log in as it.
    pub login: bool,
    /// Whether permission checks are bypassed.
    pub superuser: bool,
    /// Whether it may create databases.
    pub createdb: bool,
    /// Whether it may create roles.
    pub createrole: bool,
    /// Whether it has its groups' privileges without `SET ROLE`.
    pub inherit: bool,
    /// Whether it may stream the write-ahead log.
    pub replication: bool,
    /// Whether row level security does not apply to it.
    pub bypassrls: bool,
    /// Whether it may connect through PgBouncer.
    pub pgbouncer: bool,
    /// Most connections; -1 for no limit.
    pub connlimit: i64,
    /// Days from the moment of applying until the password expires; goes before `expire_at`.
    pub expire_in: Option<i64>,
    /// Day or time at which the password expires.
    pub expire_at: Option<String>,
    /// Comment stored with the role.
    pub comment: Option<String>,
    /// Roles it is a member of.
    pub roles: Vec<Membership>,
    /// Settings its sessions start with, name and value.
    pub parameters: Vec<(String, String)>,
    /// PgBouncer's pool mode for it; `None` for the database's.
    pub pool_mode: Option<PoolMode>,
    /// Most server connections PgBouncer opens for it; -1 for no limit.
    pub pool_connlimit: i64,
    /// Where it is written; `None` for defaults.
    pub span: Option<Span>,
    /// Where its name is written.
    pub name_span: Option<Span>,
    /// Where its password is written.
    pub password_span: Option<Span>,
}

/// A role's membership in another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The role to be a member of.
    pub role: String,
    /// Whether the member may grant the role to others.
    pub admin: bool,
    /// Whether the member may `SET ROLE` to it; `None` for PostgreSQL's default (16 and later).
    pub set: Option<bool>,
    /// Whether the member has its privileges; `None` for the member's own setting (16 and later).
    pub inherit: Option<bool>,
    /// Whether the membership shall exist.
    pub state: State,
    /// Where it is written.
    pub span: Option<Span>,
}

impl PgUser {
    /// The business users, `pg_users`.
    pub fn business(params: &Params<'_>) -> Vec<Self> {
        read_all(params, "pg_users", &structures::USER, Self::read)
    }

    /// The roles every cluster starts with, `pg_default_roles`, with the passwords that stand in
    /// parameters of their own.
    ///
    /// The table's default names (`postgres`, `replicator`, `dbuser_dba`, `dbuser_monitor`) become
    /// what `pg_dbsu`, `pg_replication_username`, `pg_admin_username` and `pg_monitor_username`
    /// say, when the list itself is the default.
    pub fn defaults(params: &Params<'_>) -> Vec<Self> {
        let own_list = params.set(parameters::PG_DEFAULT_ROLES).is_some();
        let system = [
            ("pg_dbsu", "pg_dbsu_password"),
            ("pg_replication_username", "pg_replication_password"),
            ("pg_admin_username", "pg_admin_password"),
            ("pg_monitor_username", "pg_monitor_password"),
        ];
        let default_name = |parameter: &str| {
            crate::registry::find(parameter)
                .and_then(|parameter| parameter.default_ref()?.as_str())
                .unwrap_or_default()
        };
        let mut roles = read_all(params, "pg_default_roles", &structures::ROLE, Self::read);
        for role in &mut roles {
            let entry = system.iter().find(|(name, _)| {
                role.name == params.named::<String>(name)
                    || (!own_list && role.name == default_name(name))
            });
            let Some((name, password)) = entry else { continue };
            role.name = params.named::<String>(name);
            if role.password.is_none() {
                role.password =
                    Some(params.named::<Secret>(password)).filter(|secret| !secret.is_empty());
                role.password_span = params.span(password);
            }
        }
        roles
    }

    /// All roles the cluster shall have: the defaults, then the business users.
    pub fn all(params: &Params<'_>) -> Vec<Self> {
        let mut users = Self::defaults(params);
        users.extend(Self::business(params));
        users
    }

    /// When its password expires as `expire_at` says, in UTC: `YYYY-MM-DD` for midnight, or
    /// `YYYY-MM-DD HH:MM:SS`; `None` for never.
    ///
    /// # Errors
    /// When the text is neither a day, a day and a time, nor `infinity`.
    pub fn expires_at(&self) -> Result<Option<String>, String> {
        let Some(text) = self.expire_at.as_deref().map(str::trim) else { return Ok(None) };
        if ["infinity", "never"].iter().any(|word| text.eq_ignore_ascii_case(word)) {
            return Ok(None);
        }
        match moment(text) {
            Some(moment) if moment.time() == Time::MIDNIGHT => Ok(Some(moment.date().to_string())),
            Some(moment) => {
                let (date, time) = (moment.date(), moment.time());
                let (hour, minute, second) = time.as_hms();
                Ok(Some(format!("{date} {hour:02}:{minute:02}:{second:02}")))
            }
            None => Err(format!(
                "expire_at of `{}` is `{text}`; write it as YYYY-MM-DD, or as \
                 'YYYY-MM-DD HH:MM:SS+00', or `infinity` for never",
                self.name
            )),
        }
    }

    fn read(entry: &Entry<'_>) -> Option<Self> {
        Some(Self {
            name: entry.text("name")?,
            state: entry.state(),
            password: entry.secret("password"),
            login: entry.flag("login").unwrap_or(true),
            superuser: entry.flag("superuser").unwrap_or(false),
            createdb: entry.flag("createdb").unwrap_or(false),
            createrole: entry.flag("createrole").unwrap_or(false),
            inherit: entry.flag("inherit").unwrap_or(true),
            replication: entry.flag("replication").unwrap_or(false),
            bypassrls: entry.flag("bypassrls").unwrap_or(false),
            pgbouncer: entry.flag("pgbouncer").unwrap_or(false),
            connlimit: entry.integer("connlimit").unwrap_or(-1),
            expire_in: entry.integer("expire_in"),
            expire_at: entry.text("expire_at"),
            comment: entry.text("comment"),
            roles: entries(&structures::MEMBERSHIP, entry.items("roles"))
                .filter_map(|membership| {
                    Some(Membership {
                        role: membership.text("name")?,
                        admin: membership.flag("admin").unwrap_or(false),
                        set: membership.flag("set"),
                        inherit: membership.flag("inherit"),
                        state: membership.state(),
                        span: membership.span_of("name"),
                    })
                })
                .collect(),
            parameters: entry.settings("parameters"),
            pool_mode: entry.pool_mode(),
            pool_connlimit: entry.integer("pool_connlimit").unwrap_or(-1),
            span: entry.span(),
            name_span: entry.span_of("name"),
            password_span: entry.get("password").and_then(|value| value.span),
        })
    }
}

/// Reads `2030-12-31`, `2030-12-31 23:59`, `2030-12-31T23:59:59Z`, `2030-12-31 23:59:59+08:00`: what
/// PostgreSQL takes as well. Without a zone it is UTC.
fn moment(text: &str) -> Option<OffsetDateTime> {
    let day = text.get(..10)?;
    let date = Date::parse(day, &time::macros::format_description!("[year]-[month]-[day]")).ok()?;
    let rest = text[10..].trim_start_matches(['T', 't', ' ']);
    let at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (clock, zone) = (rest[..at].trim(), &rest[at..]);
    let numbers: Option<Vec<u8>> = match clock {
        "" => Some(Vec::new()),
        _ => clock.split(':').map(|part| part.parse().ok()).collect(),
    };
    let time = match numbers?.as_slice() {
        [] => Time::MIDNIGHT,
        [hour, minute] => Time::from_hms(*hour, *minute, 0).ok()?,
        [hour, minute, second] => Time::from_hms(*hour, *minute, *second).ok()?,
        _ => return None,
    };
    let offset = match zone {
        "" | "Z" | "z" => UtcOffset::UTC,
        _ => {
            let (sign, digits) = zone.split_at(1);
            let digits = digits.replace(':', "");
            let number = |range| digits.get(range).map_or(Some(0), |part: &str| part.parse().ok());
            if ![2, 4].contains(&digits.len()) {
                return None;
            }
            let (hours, minutes): (i8, i8) = (number(0..2)?, number(2..4)?);
            let sign = if sign == "-" { -1 } else { 1 };
            UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()?
        }
    };
    let local = PrimitiveDateTime::new(date, time).assume_offset(offset);
    Some(local.to_offset(UtcOffset::UTC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_postgresql_reads_them() {
        let utc = |text| moment(text).map(|moment| moment.to_string());
        assert_eq!(utc("2030-12-31").as_deref(), Some("2030-12-31 0:00:00.0 +00:00:00"));
        assert_eq!(utc("2030-12-31 23:59"), utc("2030-12-31T23:59:00Z"));
        assert_eq!(utc("2030-12-31 23:59:59+08"), utc("2030-12-31 15:59:59"));
        assert_eq!(utc("2030-12-31 23:00:00-01:30"), utc("2031-01-01 00:30"));
        for bad in
            ["", "tomorrow", "2030-13-01", "2030-12-31 25:00", "2030-12-31 10:00+8", "2030-1-1"]
        {
            assert_eq!(moment(bad), None, "{bad}");
        }
    }
}
