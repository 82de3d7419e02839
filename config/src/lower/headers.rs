//! Header edits.

use crate::location::Located;
use crate::model::{HeaderEdits, HeaderValueEdit};
use crate::raw;

pub(super) fn lower(raw: Option<&Located<raw::HeaderEdits>>) -> HeaderEdits {
    let Some(raw) = raw.map(|one| &one.value) else { return HeaderEdits::default() };
    let removed = raw.remove.iter().flat_map(|listed| &listed.value);
    HeaderEdits {
        remove: removed.map(|name| name.value.clone()).collect(),
        set: edits(&raw.set),
        add: edits(&raw.add),
    }
}

fn edits(raw: &raw::Items<raw::HeaderEdit>) -> Vec<HeaderValueEdit> {
    let listed = raw.iter().flat_map(|listed| &listed.value);
    listed
        .filter_map(|edit| {
            Some(HeaderValueEdit {
                name: edit.value.name.as_ref()?.value.clone(),
                value: edit.value.value.as_ref()?.value.clone(),
            })
        })
        .collect()
}
