//! What is made of the list of all policies: whatever is the same for each of them.
//!
//! The list itself stands in the module above, keys and meaning in the file of each policy.

/// `field: type = "key",` for each policy, with what the schema says of the key. The names that are
/// used here are those of the module above, where the list stands.
macro_rules! policies {
    ($($(#[doc = $doc:literal])+ $field:ident: $policy:ty = $key:literal,)*) => {
        /// What holds of each policy.
        #[derive(Debug, Clone, Default)]
        pub struct Policies {
            $($(#[doc = $doc])+ pub $field: Setting<$policy>,)*
        }

        /// The policies of a route, of a listener or of `defaults`, as written.
        #[derive(Debug, Clone)]
        pub(crate) struct Written {
            $($field: Field<Switch<<$policy as Policy>::Keys>>,)*
        }

        impl Written {
            pub(crate) const KEYS: &'static [Key] =
                &[$(Key { name: $key, required: false },)*];

            pub(crate) fn read(members: &mut Members<'_>, reader: &mut Reader<'_>) -> Self {
                Self {
                    $($field: members
                        .read::<Switch<<$policy as Policy>::Keys>>($key, reader),)*
                }
            }

            pub(crate) fn describe(object: &mut ObjectSchema, generator: &mut SchemaGenerator) {
                $(object.property::<Switch<<$policy as Policy>::Keys>>(
                    generator,
                    Key { name: $key, required: false },
                    concat!($($doc),+),
                );)*
            }

            /// Those that are written, by key, with whether they are for streams too.
            pub(crate) fn places(&self) -> Vec<(&'static str, bool, &Location)> {
                let all: [(&'static str, bool, Option<&Location>); Self::KEYS.len()] = [$((
                    $key,
                    <$policy as Policy>::STREAMS,
                    self.$field.as_ref().map(|one| &one.location),
                ),)*];
                all.into_iter().filter_map(|(key, streams, at)| Some((key, streams, at?))).collect()
            }

            /// What one level says. `None` when the report says what is wrong.
            pub(crate) fn lower(
                &self,
                level: fn(Location) -> Origin,
                report: &mut Report,
            ) -> Option<Policies> {
                $(let $field = setting::lower::<$policy>(&self.$field, level, report);)*
                Some(Policies { $($field: $field?,)* })
            }
        }

        impl Policies {
            /// Of a level that says nothing.
            pub(crate) const NONE: Self = Self { $($field: Setting::Absent,)* };

            /// What holds where this level stands inside of another.
            pub(crate) fn over(&self, outer: &Self) -> Self {
                Self { $($field: self.$field.over(&outer.$field),)* }
            }

            /// Without those that are for HTTP alone.
            pub(crate) fn of_streams(&self) -> Self {
                Self {
                    $($field: if <$policy as Policy>::STREAMS {
                        self.$field.clone()
                    } else {
                        Setting::Absent
                    },)*
                }
            }

            /// By key, nothing for those of which no level says anything.
            pub(crate) fn show(&self) -> Vec<(&'static str, Value)> {
                vec![$(($key, setting::show(&self.$field)),)*]
            }

            pub(crate) fn files(&self) -> Vec<&FileRef> {
                let mut files = Vec::new();
                $(files.extend(self.$field.get().into_iter().flat_map(|it| it.value.files()));)*
                files
            }

            pub(crate) fn check(&self, listener: &Listener, report: &mut Report) {
                $(if let Some(policy) = self.$field.get() {
                    <$policy as Policy>::check(policy, listener, report);
                })*
            }
        }

        /// Words of other proxies, with what to write here.
        pub(crate) fn foreign() -> impl Iterator<Item = &'static Entry> {
            let all: &'static [&'static [Entry]] = &[$(<$policy as Policy>::FOREIGN,)*];
            all.iter().copied().flatten()
        }

        /// The least that can be written of each, by key.
        #[cfg(test)]
        pub(crate) const LEAST: &[(&str, &str)] = &[$(($key, <$policy as Policy>::LEAST),)*];
    };
}

pub(super) use policies;
