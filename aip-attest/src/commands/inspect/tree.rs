//! What was found in a file, for people and for programs.

use serde_json::{Map, Value};

use crate::report::Console;

/// A thing with its fields, in the order in which they are read.
pub(super) struct Described {
    pub(super) kind: &'static str,
    pub(super) fields: Vec<(&'static str, Field)>,
}

/// The value of a field.
pub(super) enum Field {
    Text(String),
    Lines(Vec<String>),
    Inner(Box<Described>),
    Json(Value),
}

impl Described {
    pub(super) fn new(kind: &'static str) -> Self {
        Self { kind, fields: Vec::new() }
    }

    pub(super) fn text(mut self, name: &'static str, value: impl ToString) -> Self {
        self.fields.push((name, Field::Text(value.to_string())));
        self
    }

    pub(super) fn lines(mut self, name: &'static str, values: impl IntoIterator<Item = String>) -> Self {
        self.fields.push((name, Field::Lines(values.into_iter().collect())));
        self
    }

    pub(super) fn inner(mut self, name: &'static str, value: Self) -> Self {
        self.fields.push((name, Field::Inner(Box::new(value))));
        self
    }

    pub(super) fn json(mut self, name: &'static str, value: Value) -> Self {
        self.fields.push((name, Field::Json(value)));
        self
    }

    pub(super) fn print(&self, console: &mut Console) {
        console.line(format!("{} (nothing in it has been verified)", self.kind));
        self.print_fields(1, console);
    }

    fn print_fields(&self, depth: usize, console: &mut Console) {
        let indent = "  ".repeat(depth);
        for (name, field) in &self.fields {
            match field {
                Field::Text(text) => console.line(format!("{indent}{name}: {text}")),
                Field::Lines(lines) => {
                    console.line(format!("{indent}{name}:"));
                    lines.iter().for_each(|line| console.line(format!("{indent}  {line}")));
                }
                Field::Inner(inner) => {
                    console.line(format!("{indent}{name}: {}", inner.kind));
                    inner.print_fields(depth + 1, console);
                }
                Field::Json(value) => {
                    console.line(format!("{indent}{name}:"));
                    for line in format!("{value:#}").lines() {
                        console.line(format!("{indent}  {line}"));
                    }
                }
            }
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let mut members = Map::from_iter([
            ("schema".to_owned(), "aip.inspect.v1".into()),
            ("verified".to_owned(), false.into()),
        ]);
        members.append(&mut self.members());
        members.into()
    }

    fn members(&self) -> Map<String, Value> {
        let value = |field: &Field| match field {
            Field::Text(text) => text.as_str().into(),
            Field::Lines(lines) => lines.as_slice().into(),
            Field::Inner(inner) => inner.members().into(),
            Field::Json(value) => value.clone(),
        };
        let fields = self.fields.iter().map(|(name, field)| ((*name).to_owned(), value(field)));
        let mut members: Map<String, Value> = fields.collect();
        members.insert("kind".to_owned(), self.kind.into());
        members
    }
}
