//! What the bench has printed: one JSON document for each case, in the framework's own shape.

use anyhow::Context;
use portcullis_microbenches::CASES;
use serde_json::Value;

use crate::baseline::Counts;

/// # Errors
/// When a line is not such a document, or a case was not counted.
pub(crate) fn read(text: &str) -> anyhow::Result<Counts> {
    let counts = text.lines().map(count).collect::<anyhow::Result<Counts>>()?;
    let missing = CASES.iter().find(|case| !counts.contains_key(case.name));
    anyhow::ensure!(missing.is_none(), "`{}` was not counted", missing.map_or("", |it| it.name));
    Ok(counts)
}

fn count(line: &str) -> anyhow::Result<(String, u64)> {
    let document: Value = serde_json::from_str(line).context("not a document of the bench")?;
    // The framework numbers what comes out of an iterator.
    let index = document["id"].as_str().and_then(|id| id.strip_prefix("case_")?.parse().ok());
    let case = index.and_then(|index: usize| CASES.get(index));
    let case = case.with_context(|| format!("no case has the id {}", document["id"]))?;
    let instructions =
        document.pointer("/profiles/0/data/total/metrics/Ir/values/new").and_then(Value::as_u64);
    let instructions = instructions.with_context(|| format!("`{}` has no count", case.name))?;
    Ok((case.name.to_owned(), instructions))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(id: &str, count: &str) -> String {
        format!(
            r#"{{"id":"{id}","profiles":[{{"data":{{"total":{{"metrics":{{"Ir":{{"values":{{{count}}}}}}}}}}}}}]}}"#
        )
    }

    #[test]
    fn every_case_has_its_count() {
        let lines: Vec<_> = (0..CASES.len())
            .map(|index| document(&format!("case_{index}"), &format!(r#""new":{index},"old":7"#)))
            .collect();
        let counts = read(&lines.join("\n")).unwrap();
        assert_eq!(counts.len(), CASES.len());
        assert_eq!(counts[CASES[3].name], 3);

        let error = read(&lines[1..].join("\n")).unwrap_err().to_string();
        assert!(error.contains(CASES[0].name), "{error}");
    }

    #[test]
    fn what_is_no_count_is_refused() {
        for line in [
            "Running",
            &document("other_0", r#""new":1"#),
            &document("case_9999", r#""new":1"#),
            &document("case_0", r#""old":1"#),
        ] {
            assert!(count(line).is_err(), "{line}");
        }
    }
}
