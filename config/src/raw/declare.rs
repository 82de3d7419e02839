//! Macros that declare the shapes: reader, struct and JSON Schema from one text.
//!
//! They know nothing of the keys; those stand where the macros are used.

/// Declares an object: `field: required|optional Shape = "key",` with its documentation. A last
/// `..field: Group,` takes in a group of optional keys that is declared elsewhere.
macro_rules! object {
    (
        $(#[doc = $doc:literal])+
        $name:ident, $what:literal {
            $($(#[doc = $field_doc:literal])+ $field:ident: $need:ident $shape:ty = $key:literal,)*
            $(..$taken:ident: $group:ty,)?
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone)]
        #[allow(dead_code, reason = "a key with one value only says all by being accepted")]
        pub(crate) struct $name {
            $($(#[doc = $field_doc])+ pub(crate) $field: $crate::raw::shape::Field<$shape>,)*
            $(pub(crate) $taken: $group,)?
            /// Keys that were meant but could not be read: nothing follows from their absence.
            pub(crate) spoiled: Vec<&'static str>,
        }

        impl $crate::raw::shape::Shape for $name {
            type Value = Self;

            fn keys() -> &'static [$crate::raw::shape::Key] {
                const OWN: &[$crate::raw::shape::Key] = &[
                    $($crate::raw::shape::Key {
                        name: $key,
                        required: matches!(stringify!($need).as_bytes(), b"required"),
                    },)*
                ];
                const KEYS: [$crate::raw::shape::Key; OWN.len() $(+ <$group>::KEYS.len())?] =
                    $crate::raw::shape::joined(&[OWN $(, <$group>::KEYS)?]);
                &KEYS
            }

            fn read(
                node: &$crate::tree::Node,
                reader: &mut $crate::raw::shape::Reader<'_>,
            ) -> Option<Self> {
                let mut members = reader.members(node, $what, Self::keys())?;
                Some(Self {
                    $($field: members.read::<$shape>($key, reader),)*
                    $($taken: <$group>::read(&mut members, reader),)?
                    spoiled: members.spoiled,
                })
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let mut object = $crate::raw::shape::ObjectSchema::new(concat!($($doc),+));
                $(object.property::<$shape>(
                    generator,
                    $crate::raw::shape::Key {
                        name: $key,
                        required: matches!(stringify!($need).as_bytes(), b"required"),
                    },
                    concat!($($field_doc),+),
                );)*
                $(<$group>::describe(&mut object, generator);)?
                object.finish()
            }
        }
    };
}

/// Declares a closed set of words: `Marker: Value { "word" => value, }`.
macro_rules! choice {
    (
        $(#[doc = $doc:literal])+
        $name:ident: $value:ty { $($word:literal => $meaning:expr,)+ }
    ) => {
        $(#[doc = $doc])+
        pub(crate) struct $name;

        impl $crate::raw::shape::Shape for $name {
            type Value = $value;

            fn read(
                node: &$crate::tree::Node,
                reader: &mut $crate::raw::shape::Reader<'_>,
            ) -> Option<$value> {
                const WORDS: &[&str] = &[$($word),+];
                let text = $crate::raw::shape::word(node, reader, WORDS)?;
                match text {
                    $($word => Some($meaning),)+
                    _ => None,
                }
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "description": concat!($($doc),+).trim(),
                    "enum": [$($word),+],
                })
            }
        }
    };
}

/// Declares a scalar with a schema and a function from node to value.
macro_rules! scalar {
    (
        $(#[doc = $doc:literal])+
        $name:ident: $value:ty = $read:expr, $schema:tt
    ) => {
        $(#[doc = $doc])+
        pub(crate) struct $name;

        impl $crate::raw::shape::Shape for $name {
            type Value = $value;

            fn read(
                node: &$crate::tree::Node,
                reader: &mut $crate::raw::shape::Reader<'_>,
            ) -> Option<$value> {
                let read: fn(
                    &$crate::tree::Node,
                    &mut $crate::raw::shape::Reader<'_>,
                ) -> Option<$value> = $read;
                read(node, reader)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let mut schema = schemars::json_schema!($schema);
                schema.insert("description".to_owned(), concat!($($doc),+).trim().into());
                schema
            }
        }
    };
}

pub(crate) use {choice, object, scalar};
