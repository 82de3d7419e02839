//! Refuses request bodies unless they have exactly one media type that the route lists.

use portcullis_config::policy::content_types::ContentTypes as Settings;

use super::PolicyFault;
use super::judge::{Inspected, Judge, Lists, Verdict};
use crate::cause::Rule;
use crate::message::Known;

#[derive(Debug)]
pub struct ContentTypes(Settings);

impl Judge for ContentTypes {
    const NAME: &'static str = "contentTypes";
    type Settings = Settings;

    fn compile(settings: &Settings, _: Option<&Self>) -> Result<Self, PolicyFault> {
        Ok(Self(settings.clone()))
    }

    fn judge(&self, request: &Inspected<'_>, _: &mut Lists) -> Verdict {
        self.refusal(request).map_or(Verdict::Pass, Verdict::refuse)
    }
}

impl ContentTypes {
    fn refusal(&self, request: &Inspected<'_>) -> Option<Rule> {
        if request.head.parts.framing.is_empty() {
            return None;
        }
        let fields = request.head.fields();
        let mut lines = fields.fields.iter().filter(|field| field.known == Known::ContentType);
        let Some(line) = lines.next() else { return Some(Rule::ContentTypeMissing) };
        // With two types, two readers could each use a different one.
        if lines.next().is_some() {
            return Some(Rule::ContentTypeRepeated);
        }
        let value = std::str::from_utf8(line.value.of(fields.bytes));
        let takes = value.is_ok_and(|value| self.0.allows(value));
        (!takes).then_some(Rule::ContentTypeOther)
    }
}

#[cfg(test)]
mod tests;
