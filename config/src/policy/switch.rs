//! The form of every policy: an object, or the word that turns off what an outer level says.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::diagnostics::Diagnostic;
use crate::raw::shape::{Key, Reader, Shape};
use crate::tree::{Content, Node, is_boolean, old_boolean};

/// The word.
const DISABLED: &str = "disabled";

/// An object of this shape, or `disabled`.
pub(crate) struct Switch<S>(PhantomData<S>);

#[derive(Debug, Clone)]
pub(crate) enum Switched<T> {
    Disabled,
    On(T),
}

impl<S: Shape> Shape for Switch<S> {
    type Value = Switched<S::Value>;

    fn keys() -> &'static [Key] {
        S::keys()
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self::Value> {
        match &node.content {
            Content::Scalar { text, .. } if text == DISABLED => Some(Switched::Disabled),
            Content::Scalar { text, plain: true } if means_off(text) => {
                let message = format!("`{text}` does not turn a policy off");
                reader.report.push(
                    Diagnostic::error(node.location.clone(), message).help("write `disabled`"),
                );
                None
            }
            _ => S::read(node, reader).map(Switched::On),
        }
    }
}

fn means_off(text: &str) -> bool {
    old_boolean(text) == Some(false) || (is_boolean(text) && text.eq_ignore_ascii_case("false"))
}

impl<S: JsonSchema> JsonSchema for Switch<S> {
    fn schema_name() -> Cow<'static, str> {
        format!("Switch{}", S::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [generator.subschema_for::<S>(), {"const": DISABLED}]})
    }
}
