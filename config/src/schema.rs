//! The JSON Schema of the format, from the same declarations that read it.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::raw::Document;

/// JSON Schema (2020-12) of a configuration file.
///
/// It describes the form of each value. Rules between values (one of `backends`, `redirect` and
/// `reply`, names that must exist) are the loader's.
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Document>();
    schema.insert("title".to_owned(), "Portcullis configuration".into());
    schema.to_value()
}

#[cfg(test)]
mod manual;
#[cfg(test)]
mod tests;
