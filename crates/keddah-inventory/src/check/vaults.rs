//! Values under Ansible Vault, which are never taken for values that nobody has set.

use super::parameters::layers;
use super::{Report, error};
use crate::registry::{self, Support};
use crate::{Data, Value};

pub(super) fn check(report: &mut Report<'_>) {
    for layer in layers(report.inventory) {
        for (key, value) in layer.vars {
            let Some(parameter) = registry::find(&key.text) else { continue };
            if parameter.support != Support::Unmanaged {
                each(report, &key.text, value);
            }
        }
    }
}

fn each(report: &mut Report<'_>, name: &str, value: &Value) {
    match &value.data {
        Data::Vault(_) => report.add(
            error("vault", value.span, format!("`{name}` is under Ansible Vault, which Keddah does not open"))
                .help(
                    "write the value itself in its place (`ansible-vault decrypt` shows it), and let nobody \
                     else read the file",
                ),
        ),
        Data::List(items) => items.iter().for_each(|item| each(report, name, item)),
        Data::Map(entries) => entries.values().for_each(|item| each(report, name, item)),
        _ => {}
    }
}
