//! Configuration files as templates in Jinja's language: ours, or the user's in place of ours.

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use std::collections::BTreeMap;
use std::fmt;

/// Our templates: path below `templates/` and text.
const EMBEDDED: &[(&str, &str)] = &[
    ("postgresql/common.yml", include_str!("../../../templates/postgresql/common.yml")),
    ("postgresql/oltp.yml", include_str!("../../../templates/postgresql/oltp.yml")),
    ("postgresql/olap.yml", include_str!("../../../templates/postgresql/olap.yml")),
    ("postgresql/crit.yml", include_str!("../../../templates/postgresql/crit.yml")),
    ("postgresql/tiny.yml", include_str!("../../../templates/postgresql/tiny.yml")),
    ("haproxy/haproxy.cfg", include_str!("../../../templates/haproxy/haproxy.cfg")),
    ("haproxy/auth.cfg", include_str!("../../../templates/haproxy/auth.cfg")),
    ("haproxy/await-worker", include_str!("../../../templates/haproxy/await-worker")),
    ("haproxy/save-state", include_str!("../../../templates/haproxy/save-state")),
    ("systemd/haproxy.conf", include_str!("../../../templates/systemd/haproxy.conf")),
    ("systemd/patroni.conf", include_str!("../../../templates/systemd/patroni.conf")),
    ("systemd/patroni.service", include_str!("../../../templates/systemd/patroni.service")),
    ("systemd/pgbouncer.service", include_str!("../../../templates/systemd/pgbouncer.service")),
    ("systemd/etcd.conf", include_str!("../../../templates/systemd/etcd.conf")),
    ("systemd/pgbouncer.conf", include_str!("../../../templates/systemd/pgbouncer.conf")),
    ("etcd/etcd.env", include_str!("../../../templates/etcd/etcd.env")),
    ("etcd/etcdctl", include_str!("../../../templates/etcd/etcdctl")),
    ("etcd/bootstrap.env", include_str!("../../../templates/etcd/bootstrap.env")),
    ("pgbouncer/pgbouncer.ini", include_str!("../../../templates/pgbouncer/pgbouncer.ini")),
    ("pgbackrest/pgbackrest.conf", include_str!("../../../templates/pgbackrest/pgbackrest.conf")),
    ("keepalived/keepalived.conf", include_str!("../../../templates/keepalived/keepalived.conf")),
    ("keepalived/ask", include_str!("../../../templates/keepalived/ask")),
    ("systemd/keddah-vip.service", include_str!("../../../templates/systemd/keddah-vip.service")),
    ("systemd/keddah-dns.service", include_str!("../../../templates/systemd/keddah-dns.service")),
    ("dnsmasq/dnsmasq.conf", include_str!("../../../templates/dnsmasq/dnsmasq.conf")),
    ("dnsmasq/follow-primaries", include_str!("../../../templates/dnsmasq/follow-primaries")),
    ("bin/pg-rewind", include_str!("../../../templates/bin/pg-rewind")),
    ("bin/pg-backup", include_str!("../../../templates/bin/pg-backup")),
];

/// A template that cannot be rendered, for a person: which, where and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// The path below `templates/`.
    pub template: String,
    /// The line in it, when known.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "templates/{}", self.template)?;
        if let Some(line) = self.line {
            write!(formatter, ":{line}")?;
        }
        write!(formatter, ": {}", self.message)
    }
}

impl std::error::Error for TemplateError {}

/// All templates of one run.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
}

impl Templates {
    /// Our templates, with the user's laid over them; keys are paths below `templates/`.
    ///
    /// # Errors
    /// When a template does not parse.
    pub fn new(overrides: &BTreeMap<String, String>) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_syntax(
            SyntaxConfig::builder()
                .trim_blocks(true)
                .lstrip_blocks(true)
                .keep_trailing_newline(true)
                .build()
                .map_err(|error| explain("", &error))?,
        );
        for (name, text) in EMBEDDED {
            if !overrides.contains_key(*name) {
                environment.add_template(name, text).map_err(|error| explain(name, &error))?;
            }
        }
        for (name, text) in overrides {
            environment
                .add_template_owned(name.clone(), text.clone())
                .map_err(|error| explain(name, &error))?;
        }
        Ok(Self { environment })
    }

    /// Whether there is a template of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.environment.get_template(name).is_ok()
    }

    /// Renders one.
    ///
    /// # Errors
    /// When it does not exist, uses a name it is not given, or fails while it runs.
    pub fn render(
        &self,
        name: &str,
        context: impl serde::Serialize,
    ) -> Result<String, TemplateError> {
        self.environment
            .get_template(name)
            .and_then(|template| template.render(Value::from(minijinja::value::Serde(context))))
            .map_err(|error| explain(name, &error))
    }
}

fn explain(name: &str, error: &minijinja::Error) -> TemplateError {
    TemplateError {
        template: error.name().unwrap_or(name).to_owned(),
        line: error.line(),
        message: error.detail().map_or_else(|| error.kind().to_string(), str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_template_takes_the_place_of_ours() {
        let overrides =
            BTreeMap::from([("bin/pg-backup".to_owned(), "hello {{ name }}\n".to_owned())]);
        let templates = Templates::new(&overrides).unwrap();
        let text = templates.render("bin/pg-backup", BTreeMap::from([("name", "x")])).unwrap();
        assert_eq!(text, "hello x\n");
        let error = templates.render("bin/pg-backup", ()).unwrap_err();
        assert_eq!(error.line, Some(1), "{error}");
    }
}
