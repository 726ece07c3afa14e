//! The parameters of one host, or of one of its PostgreSQL instances, as the compiler uses them:
//! resolved, defaulted, placeholders filled in.

use crate::inventory::Layer;
use crate::registry::{self, Handle, Named, Parameter, ParameterType, Reading};
use crate::{Data, HostVars, Inventory, Origin, Sourced, Value, parameters};
use crate::{Interpolator, Unknown, has_placeholders};
use keddah_core::{Diagnostic, NodeName, Span};
use std::borrow::Cow;
use std::sync::Arc;

/// Where a parameter's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParamOrigin {
    /// The inventory; the origin tells the place and who sets it there.
    File(Origin),
    /// The registry's default.
    Default,
    /// Nobody sets it and it has no default.
    Unset,
}

/// The parameters of one host, or of one of its `pg_instances`.
///
/// Reading never fails: a value that does not fit its type has been reported by
/// [`crate::check`], and reads as the default. An empty value (`key:` and nothing) means the
/// default, too.
#[derive(Debug, Clone)]
pub struct Params<'inventory> {
    inventory: &'inventory Inventory,
    node: NodeName,
    vars: HostVars,
    instance: Option<u16>,
}

impl<'inventory> Params<'inventory> {
    /// The parameters of a host; of a host that is not in the inventory, the defaults.
    pub fn new(inventory: &'inventory Inventory, node: &NodeName) -> Self {
        Self { inventory, node: node.clone(), vars: inventory.resolve(node), instance: None }
    }

    /// The parameters of each PostgreSQL instance that a host may have: the host's own where it has
    /// no `pg_instances`, otherwise those of each of them, the lowest port first.
    pub fn instances(inventory: &'inventory Inventory, node: &NodeName) -> Vec<Self> {
        let host = Self::new(inventory, node);
        match inventory.instances(node) {
            None => vec![host],
            Some(several) => several
                .iter()
                .map(|(port, layer)| host.clone().with_instance(*port, Arc::clone(layer)))
                .collect(),
        }
    }

    /// The same with an instance's own variables over the host's.
    pub(crate) fn with_instance(self, port: u16, layer: Arc<Layer>) -> Self {
        Self { vars: self.vars.of_instance(layer), instance: Some(port), ..self }
    }

    /// The port that names the instance in `pg_instances`; `None` for a host's own parameters.
    pub fn instance(&self) -> Option<u16> {
        self.instance
    }

    /// The host.
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    /// The inventory it stands in.
    pub fn inventory(&self) -> &'inventory Inventory {
        self.inventory
    }

    /// The host's variables as written.
    pub fn vars(&self) -> &HostVars {
        &self.vars
    }

    /// The value as the inventory sets it, under its name or an older one; `None` when nobody
    /// does, or when the value is empty.
    pub fn set(&self, parameter: impl Named) -> Option<&Sourced> {
        let name = parameter.name();
        let given = |name: &str| self.vars.get(name).filter(|given| !given.value.is_null());
        given(name).or_else(|| registry::aliases_of(name).find_map(given))
    }

    /// Where the value comes from.
    pub fn origin(&self, parameter: impl Named) -> ParamOrigin {
        match (
            self.set(&parameter),
            registry::find(parameter.name()).and_then(Parameter::default_ref),
        ) {
            (Some(sourced), _) => ParamOrigin::File(sourced.origin.clone()),
            (None, Some(_)) => ParamOrigin::Default,
            (None, None) => ParamOrigin::Unset,
        }
    }

    /// The place of the value, or of its key, in the inventory.
    pub fn span(&self, parameter: impl Named) -> Option<Span> {
        let sourced = self.set(parameter)?;
        sourced.value.span.or(sourced.origin.span)
    }

    /// The value, or the default where the value does not convert; an empty one of its type where there is
    /// neither.
    pub fn get<T: Reading>(&self, parameter: Handle<T>) -> T::Value {
        self.read(parameter).unwrap_or_default()
    }

    /// The same; `None` where there is neither, or it is empty.
    pub fn opt<T: Reading>(&self, parameter: Handle<T>) -> Option<T::Value> {
        self.read(parameter).filter(|value| !T::is_empty(value))
    }

    fn read<T: Reading>(&self, parameter: Handle<T>) -> Option<T::Value> {
        let kind = &parameter.parameter().kind;
        self.converted(parameter.name(), |value| T::read(value, kind))
    }

    /// The value of one of many parameters that a check goes through by their names.
    pub(crate) fn named<T: Reading>(&self, name: &str) -> T::Value {
        self.opt_named::<T>(name).unwrap_or_default()
    }

    /// The same; `None` where there is none, or it is empty.
    pub(crate) fn opt_named<T: Reading>(&self, name: &str) -> Option<T::Value> {
        let kind = registry::find(name).map_or(ParameterType::Text, |parameter| parameter.kind);
        let value = self.converted(name, |value| T::read(value, &kind));
        value.filter(|value| !T::is_empty(value))
    }

    /// The value with placeholders filled in; null when there is neither value nor default.
    /// Names nobody knows stay as written.
    pub fn value(&self, name: &str) -> Cow<'_, Value> {
        let Some(raw) = self.raw(name) else {
            return Cow::Owned(Value::from(Data::Null));
        };
        if !has_placeholders(raw) {
            return Cow::Borrowed(raw);
        }
        Cow::Owned(self.expand(raw).unwrap_or_else(|_| raw.clone()))
    }

    /// Fills in the placeholders of a value with this host's parameters.
    ///
    /// Beside parameters there are `${inventory_hostname}`, the node's address `${ip}`, the
    /// loopback address `${lo}`, the cluster's virtual address `${vip}` where there is one, and the
    /// system's roles `${dbsu}`, `${repl}`, `${monitor}`, `${admin}`.
    ///
    /// # Errors
    /// When parameters refer to each other in a circle, or an expression fails.
    pub fn expand(&self, value: &Value) -> Result<Value, Box<Diagnostic>> {
        let lookup = |name: &str| self.raw(name).cloned().or_else(|| self.built_in(name));
        Interpolator::new(&lookup, Unknown::Keep).expand(value).map_err(Into::into)
    }

    /// The value that holds, as written.
    pub(crate) fn raw(&self, name: &str) -> Option<&Value> {
        self.set(name)
            .map(|sourced| &sourced.value)
            .or_else(|| registry::find(name).and_then(Parameter::default_ref))
    }

    fn built_in(&self, name: &str) -> Option<Value> {
        let text = |text: &str| Some(Value::from(Data::String(text.to_owned())));
        match name {
            "inventory_hostname" | "ip" => text(self.node.as_str()),
            "lo" => text("127.0.0.1"),
            "vip" if self.get(parameters::PG_VIP_ENABLED) => {
                text(self.get(parameters::PG_VIP_ADDRESS).split('/').next().unwrap_or_default())
            }
            "dbsu" => self.raw("pg_dbsu").cloned(),
            "repl" => self.raw("pg_replication_username").cloned(),
            "monitor" => self.raw("pg_monitor_username").cloned(),
            "admin" => self.raw("pg_admin_username").cloned(),
            _ => None,
        }
    }

    /// The value, or the default where the value does not convert.
    fn converted<T>(&self, name: &str, convert: impl Fn(&Value) -> Option<T>) -> Option<T> {
        convert(&self.value(name)).or_else(|| {
            let default = registry::find(name)?.default_ref()?;
            convert(&self.expand(default).unwrap_or_else(|_| default.clone()))
        })
    }
}

/// Reads a size such as `64MiB`: units are powers of 1024 with or without the `i`.
pub fn size_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let exponent = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        _ => return None,
    };
    // Sizes people write are exact in a float; the cast saturates.
    Some((number * 1024_f64.powi(exponent)) as u64)
}

/// Reads a span of time such as `90s`, `1h` or `7300d`, in whole seconds.
pub fn seconds(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let factor = match unit.as_str() {
        "us" => 0.000_001,
        "ms" => 0.001,
        "" | "s" | "sec" => 1.0,
        "m" | "min" => 60.0,
        "h" | "hour" => 3_600.0,
        "d" | "day" | "days" => 86_400.0,
        "w" => 604_800.0,
        "y" => 31_536_000.0,
        _ => return None,
    };
    Some((number * factor) as u64)
}

/// Reads a span of time as [`seconds`] does, in whole milliseconds.
pub fn milliseconds(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let factor = match unit.as_str() {
        "us" => 0.001,
        "ms" => 1.0,
        "" => 1_000.0,
        _ => 1_000.0 * seconds(&format!("1{unit}"))? as f64,
    };
    // Spans people write are exact in a float; the cast saturates.
    Some((number * factor).round() as u64)
}

fn split_unit(text: &str) -> Option<(f64, String)> {
    let text = text.trim();
    let end = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim().to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use keddah_core::SourceMap;

    fn inventory(text: &str) -> Inventory {
        let mut sources = SourceMap::default();
        let (inventory, problems) = crate::load(&mut sources, "t.yml", text.as_bytes());
        assert!(problems.is_empty(), "{problems:?}");
        inventory.expect("it loads")
    }

    #[test]
    fn values_are_resolved_defaulted_and_filled_in() {
        let inventory = inventory(
            "all:\n  children:\n    a:\n      hosts: { 10.0.0.1: { pg_seq: '3' } }\n      \
             vars: { pg_cluster: pg-a, pg_port: 6000, pg_fs_bkup: /old, pg_listen: '${ip},${lo}', \
             patroni_watchdog_mode: off, pg_log_dir: '/logs/${pg_cluster}-${pg_seq}', pg_conf: }\n",
        );
        let params = Params::new(&inventory, &"10.0.0.1".into());
        assert_eq!(params.get(parameters::PG_SEQ), 3);
        assert_eq!(params.get(parameters::PG_PORT), 6000);
        assert_eq!(params.get(parameters::PGBOUNCER_PORT), 6432);
        assert_eq!(params.get(parameters::PG_FS_BACKUP), "/old", "an older name");
        assert_eq!(params.get(parameters::PG_LISTEN), "10.0.0.1,127.0.0.1");
        assert_eq!(
            params.get(parameters::PATRONI_WATCHDOG_MODE),
            "off",
            "YAML 1.1 reads off as false"
        );
        assert_eq!(params.get(parameters::PG_LOG_DIR), "/logs/pg-a-3");
        assert_eq!(params.get(parameters::PG_CONF), "oltp.yml", "empty means the default");
        assert_eq!(params.get(parameters::NODE_DEFAULT_ETC_HOSTS), ["10.10.10.10 i.pigsty"]);
        assert_eq!(params.opt(parameters::PG_UPSTREAM), None);
        assert_eq!(params.get(parameters::PG_ADMIN_PASSWORD).reveal(), "DBUser.DBA");
        assert_eq!(params.get(parameters::PG_DUMMY_FILESIZE), 64 << 20);
        assert_eq!(params.get(parameters::CERT_VALIDITY), 7300 * 86_400);
        assert!(matches!(params.origin(parameters::PG_PORT), ParamOrigin::File(_)));
        assert_eq!(params.origin(parameters::PG_CONF), ParamOrigin::Default);
        assert_eq!(params.origin(parameters::PG_UPSTREAM), ParamOrigin::Unset);
    }

    #[test]
    fn values_of_a_wrong_type_read_as_the_default() {
        let inventory =
            inventory("all: { hosts: { h: { pg_port: x, pg_checksum: 'no', pg_users: 1 } } }\n");
        let params = Params::new(&inventory, &"h".into());
        assert_eq!(params.get(parameters::PG_PORT), 5432);
        assert!(params.get(parameters::PG_CHECKSUM));
        assert!(params.get(parameters::PG_USERS).is_empty());
    }

    #[test]
    fn units_are_read() {
        assert_eq!(size_bytes("1GB"), Some(1 << 30));
        assert_eq!(size_bytes("20 MiB"), Some(20 << 20));
        assert_eq!(size_bytes("512"), Some(512));
        assert_eq!(size_bytes("x"), None);
        assert_eq!(seconds("1h"), Some(3600));
        assert_eq!(seconds("500ms"), Some(0));
        let spans = ["500ms", "1.5h", "90s", "2w", "3", "250us"].map(milliseconds);
        let expected = [500, 5_400_000, 90_000, 1_209_600_000, 3_000, 0];
        assert_eq!(spans, expected.map(Some));
        assert_eq!(milliseconds("5 parsecs"), None);
        assert_eq!(seconds("5 parsecs"), None);
    }
}
