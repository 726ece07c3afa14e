//! Jinja expressions and templates inside of values, evaluated by the template engine.

use crate::value::{Data, Key, Value};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value as Jinja, ValueKind};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use std::collections::BTreeMap;

/// A text with `{{ … }}` in it.
pub(super) struct Template<'text> {
    environment: Environment<'text>,
    text: &'text str,
    /// The expression alone, when the text is nothing else: its value keeps its type.
    expression: Option<&'text str>,
}

impl<'text> Template<'text> {
    /// Checks the syntax. The error is a sentence without a full stop.
    pub fn parse(text: &'text str) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_syntax(
            SyntaxConfig::builder().keep_trailing_newline(true).build().map_err(describe)?,
        );
        environment.add_filter("round", round);
        let expression = text
            .trim()
            .strip_prefix("{{")
            .and_then(|rest| rest.strip_suffix("}}"))
            .filter(|inner| !["{{", "}}", "{%"].iter().any(|mark| inner.contains(mark)))
            .map(str::trim);
        let template = Self { environment, text, expression };
        match expression {
            Some(source) => template.environment.compile_expression(source).map(drop),
            None => template.environment.template_from_str(text).map(drop),
        }
        .map_err(describe)?;
        Ok(template)
    }

    /// The names that the text uses and does not define itself.
    pub fn names(&self) -> Vec<String> {
        let names = match self.expression {
            Some(source) => self
                .environment
                .compile_expression(source)
                .map(|expression| expression.undeclared_variables(false)),
            None => self
                .environment
                .template_from_str(self.text)
                .map(|template| template.undeclared_variables(false)),
        };
        let mut names: Vec<String> = names.unwrap_or_default().into_iter().collect();
        names.sort();
        names
    }

    /// The value with these variables. The error is a sentence without a full stop.
    pub fn evaluate(&self, variables: Vec<(String, Value)>) -> Result<Data, String> {
        let context: BTreeMap<String, Jinja> =
            variables.into_iter().map(|(name, value)| (name, to_jinja(&value))).collect();
        let context = Jinja::from(context);
        match self.expression {
            Some(source) => {
                let value = self
                    .environment
                    .compile_expression(source)
                    .and_then(|expression| expression.eval(context))
                    .map_err(describe)?;
                from_jinja(&value)
            }
            None => self
                .environment
                .template_from_str(self.text)
                .and_then(|template| template.render(context))
                .map(Data::String)
                .map_err(describe),
        }
    }
}

fn describe(error: Error) -> String {
    match error.detail() {
        Some(detail) => format!("the expression cannot be evaluated: {}: {detail}", error.kind()),
        None => format!("the expression cannot be evaluated: {}", error.kind()),
    }
}

/// Jinja2's `round(precision, method)`; the engine's own knows no method.
fn round(number: f64, precision: Option<i32>, method: Option<&str>) -> Result<f64, Error> {
    let factor = 10f64.powi(precision.unwrap_or(0));
    let scaled = number * factor;
    let rounded = match method.unwrap_or("common") {
        "common" => scaled.round(),
        "ceil" => scaled.ceil(),
        "floor" => scaled.floor(),
        other => {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                format!("`{other}` is no way to round"),
            ));
        }
    };
    Ok(rounded / factor)
}

fn to_jinja(value: &Value) -> Jinja {
    match &value.data {
        Data::Null => Jinja::from(()),
        Data::Bool(flag) => Jinja::from(*flag),
        Data::Int(number) => Jinja::from(*number),
        Data::BigInt(digits) => match digits.parse::<i128>() {
            Ok(number) => Jinja::from(number),
            Err(_) => Jinja::from(digits.as_str()),
        },
        Data::Float(number) => Jinja::from(*number),
        Data::String(text) | Data::Unsafe(text) | Data::Vault(text) => Jinja::from(text.as_str()),
        Data::List(items) => items.iter().map(to_jinja).collect(),
        Data::Map(entries) => {
            entries.iter().map(|(key, value)| (key.text.clone(), to_jinja(value))).collect()
        }
    }
}

fn from_jinja(value: &Jinja) -> Result<Data, String> {
    let data = match value.kind() {
        ValueKind::None => Data::Null,
        ValueKind::Bool => Data::Bool(value.is_true()),
        ValueKind::Number => {
            if let Ok(number) = i64::try_from(value.clone())
                && value.is_integer()
            {
                Data::Int(number)
            } else if value.is_integer() {
                Data::BigInt(value.to_string())
            } else {
                Data::Float(f64::try_from(value.clone()).map_err(describe)?)
            }
        }
        ValueKind::String => Data::String(value.to_string()),
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter().map_err(describe)?;
            Data::List(
                items
                    .map(|item| from_jinja(&item).map(Value::from))
                    .collect::<Result<_, String>>()?,
            )
        }
        ValueKind::Map => {
            let keys = value.try_iter().map_err(describe)?;
            Data::Map(
                keys.map(|key| {
                    let item = value.get_item(&key).map_err(describe)?;
                    Ok((Key::new(key.to_string()), Value::from(from_jinja(&item)?)))
                })
                .collect::<Result<_, String>>()?,
            )
        }
        ValueKind::Undefined => return Err("the expression has no value".to_owned()),
        other => return Err(format!("the expression is a {other}, which is not a value")),
    };
    Ok(data)
}
