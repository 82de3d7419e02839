//! The steps that a service told of when it was traced, as `SHOP_FAILPOINT` names them.

use std::collections::BTreeSet;
use std::fmt;

/// A place to die at: `before:commit:orders.place`. Sorts by its step, `before` with `after`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step {
    /// `commit:orders.place`.
    pub name: String,
    pub side: Side,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    Before,
    After,
}

impl Step {
    pub fn parse(text: &str) -> Option<Self> {
        let (side, name) = text.split_once(':')?;
        let side = match side {
            "before" => Side::Before,
            "after" => Side::After,
            _ => return None,
        };
        let (kind, step) = name.split_once(':')?;
        let known = matches!(kind, "commit" | "publish" | "call") && !step.is_empty();
        known.then(|| Self { name: name.to_owned(), side })
    }

    /// Both sides of a step.
    pub fn sides(name: &str) -> [Self; 2] {
        [Side::Before, Side::After].map(|side| Self { name: name.to_owned(), side })
    }

    /// What a trace tells, each once. A process that was killed may have left half a line.
    pub fn all(trace: &str) -> BTreeSet<Self> {
        trace.lines().filter_map(Self::parse).collect()
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Before => "before",
            Side::After => "after",
        };
        write!(formatter, "{side}:{}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_line_by_line() {
        let trace = "before:commit:a\nafter:commit:a\nbefore:commit:consume:orders:payment.voided\n\
                     before:commit:a\nbefo";
        let steps: Vec<String> = Step::all(trace).iter().map(Step::to_string).collect();
        let expected =
            ["before:commit:a", "after:commit:a", "before:commit:consume:orders:payment.voided"];
        assert_eq!(steps, expected);
        for wrong in ["", "commit:a", "during:commit:a", "before:wait:a", "before:commit:", "a:b:c"]
        {
            assert_eq!(Step::parse(wrong), None, "{wrong:?}");
        }
        let sides = Step::sides("call:b").map(|step| step.to_string());
        assert_eq!(sides, ["before:call:b", "after:call:b"]);
    }
}
