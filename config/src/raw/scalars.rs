//! Numbers, durations, sizes and the other plain values.

use std::num::{NonZeroU8, NonZeroU16, NonZeroU32, NonZeroUsize};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::shape::{Reader, scalar};
use crate::model::{CloseCode, MemoryLimit, Workers};
use crate::tree::{Content, Node, is_boolean, old_boolean};
use crate::units;
use crate::values::{Share, Status};

scalar! {
    /// `true` or `false`.
    Flag: bool = flag, {"type": "boolean"}
}

scalar! {
    /// A whole number with its unit: `250ms`, `5s`, `2m`, `1h`, `1d`.
    DurationText: Duration = |node, reader| {
        let text = reader.text(node, "a duration like `5s`")?;
        reader.accept(node, units::parse_duration(text))
    }, {"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$", "examples": ["250ms", "5s"]}
}

scalar! {
    /// A whole number with its unit: `512B`, `64KiB`, `10MiB`, `1GiB`. Without unit: bytes.
    SizeText: u64 = |node, reader| {
        let text = reader.text(node, "a size like `64KiB`")?;
        reader.accept(node, units::parse_size(text))
    }, {
        "type": ["string", "integer"],
        "pattern": "^[0-9]+(B|KiB|MiB|GiB)?$",
        "minimum": 0,
        "examples": ["64KiB", "10MiB"],
    }
}

scalar! {
    /// A size from 1KiB to 60KiB.
    HeaderBytes: u32 = |node, reader| bounded_size(node, reader, 1_024..=61_440), {
        "type": ["string", "integer"], "pattern": "^[0-9]+(B|KiB)?$", "minimum": 1024, "maximum": 61440
    }
}

scalar! {
    /// A size from 64B to 60KiB.
    TargetBytes: u32 = |node, reader| bounded_size(node, reader, 64..=61_440), {
        "type": ["string", "integer"], "pattern": "^[0-9]+(B|KiB)?$", "minimum": 64, "maximum": 61440
    }
}

scalar! {
    /// A share of the whole: `5%`, `0.25%`.
    ShareText: Share = |node, reader| {
        let text = reader.text(node, "a share like `5%`")?;
        reader.accept(node, units::parse_share(text))
    }, {"type": "string", "pattern": "^[0-9]+([.][0-9]{1,4})?%$", "examples": ["100%", "5%"]}
}

scalar! {
    /// A port from 1 to 65535.
    Port: NonZeroU16 = |node, reader| {
        number(node, reader, "a port", 1..=65_535).and_then(narrow::<u16>).and_then(NonZeroU16::new)
    }, {"type": "integer", "minimum": 1, "maximum": 65535}
}

scalar! {
    /// A weight from 1 to 65535.
    EndpointWeight: NonZeroU16 = |node, reader| {
        number(node, reader, "a weight", 1..=65_535).and_then(narrow).and_then(NonZeroU16::new)
    }, {"type": "integer", "minimum": 1, "maximum": 65535}
}

scalar! {
    /// A weight from 0, which takes no traffic, to 1000000.
    BackendWeight: u32 = |node, reader| {
        number(node, reader, "a weight", 0..=1_000_000).and_then(narrow)
    }, {"type": "integer", "minimum": 0, "maximum": 1_000_000}
}

scalar! {
    /// A number of connections, at least 1.
    Connections: NonZeroU32 = |node, reader| {
        number(node, reader, "a number", 1..=10_000_000).and_then(narrow).and_then(NonZeroU32::new)
    }, {"type": "integer", "minimum": 1, "maximum": 10_000_000}
}

scalar! {
    /// A number, which may be 0.
    Amount: u32 = |node, reader| {
        number(node, reader, "a number", 0..=10_000_000).and_then(narrow)
    }, {"type": "integer", "minimum": 0, "maximum": 10_000_000}
}

scalar! {
    /// A number of header lines from 1 to 100.
    HeaderLines: u16 = |node, reader| {
        number(node, reader, "a number of header lines", 1..=100).and_then(narrow)
    }, {"type": "integer", "minimum": 1, "maximum": 100}
}

scalar! {
    /// A number of proxies from 1 to 16.
    Hops: NonZeroU8 = |node, reader| {
        number(node, reader, "a number of proxies", 1..=16).and_then(narrow).and_then(NonZeroU8::new)
    }, {"type": "integer", "minimum": 1, "maximum": 16}
}

scalar! {
    /// A number of extra tries from 0 to 10.
    Tries: u8 = |node, reader| {
        number(node, reader, "a number of extra tries", 0..=10).and_then(narrow)
    }, {"type": "integer", "minimum": 0, "maximum": 10}
}

scalar! {
    /// An HTTP status from 200 to 599.
    StatusCode: Status = |node, reader| {
        let code = number(node, reader, "a status", 200..=599).and_then(narrow)?;
        reader.accept(node, Status::parse(code))
    }, {"type": "integer", "minimum": 200, "maximum": 599}
}

scalar! {
    /// A status of a Close frame that may be sent: 1000 to 1003, 1007 to 1014, 3000 to 4999.
    CloseCodeNumber: CloseCode = |node, reader| {
        let code = number(node, reader, "a close code", 1_000..=4_999).and_then(narrow)?;
        let known = CloseCode::try_new(code);
        if known.is_none() {
            let message = format!("{code} is never sent in a Close frame");
            reader.error(&node.location, message);
        }
        known
    }, {"type": "integer", "minimum": 1000, "maximum": 4999}
}

scalar! {
    /// `auto` for one worker on each core, or a number from 1 to 1024.
    WorkersText: Workers = |node, reader| {
        if matches!(&node.content, Content::Scalar { text, .. } if text == "auto") {
            return Some(Workers::Auto);
        }
        let count = number(node, reader, "`auto` or a number of workers", 1..=1_024)?;
        narrow(count).and_then(NonZeroUsize::new).map(Workers::Count)
    }, {"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": 1024}]}
}

scalar! {
    /// `auto` for nine tenths of what the container may take, `disabled`, or a size from 16MiB.
    MemoryText: MemoryLimit = |node, reader| {
        const LEAST: u64 = 16 << 20;
        let text = reader.text(node, "`auto`, `disabled` or a size like `512MiB`")?;
        match text {
            "auto" => return Some(MemoryLimit::Auto),
            "disabled" => return Some(MemoryLimit::Disabled),
            _ => {}
        }
        let size = reader.accept(node, units::parse_size(text))?;
        if size < LEAST {
            let message = format!("a process takes 16MiB at least, found `{text}`");
            reader.error(&node.location, message);
            return None;
        }
        Some(MemoryLimit::Bytes(size))
    }, {"anyOf": [
        {"enum": ["auto", "disabled"]},
        {"type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB)?$"},
        {"type": "integer", "minimum": 16_777_216},
    ]}
}

fn flag(node: &Node, reader: &mut Reader<'_>) -> Option<bool> {
    if let Content::Scalar { text, plain: true } = &node.content {
        if is_boolean(text) {
            return Some(text.eq_ignore_ascii_case("true"));
        }
        if let Some(meant) = old_boolean(text) {
            reader.error(&node.location, format!("write `{meant}` instead of `{text}`"));
            return None;
        }
    }
    reader.mismatch(node, "`true` or `false`");
    None
}

fn bounded_size(node: &Node, reader: &mut Reader<'_>, range: RangeInclusive<u64>) -> Option<u32> {
    let text = reader.text(node, "a size like `16KiB`")?;
    let size = reader.accept(node, units::parse_size(text))?;
    if range.contains(&size) {
        return narrow(size);
    }
    let (least, most) = (units::format_size(*range.start()), units::format_size(*range.end()));
    let message = format!("expected a size from {least} to {most}, found `{text}`");
    reader.error(&node.location, message);
    None
}

fn number(
    node: &Node,
    reader: &mut Reader<'_>,
    what: &str,
    range: RangeInclusive<u64>,
) -> Option<u64> {
    let bounds = format!("{what} from {} to {}", range.start(), range.end());
    match &node.content {
        Content::Scalar { text, plain: false } if text.parse::<u64>().is_ok() => {
            reader.error(&node.location, format!("write {text} without quotes: it is a number"));
            None
        }
        Content::Scalar { text, plain: true } if !node.is_null() => {
            // Leading zeros and signs mean other numbers to other tools.
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let canonical = digits && (text == "0" || !text.starts_with('0'));
            let parsed = text.parse::<u64>().ok().filter(|_| canonical);
            match parsed.filter(|number| range.contains(number)) {
                Some(number) => Some(number),
                None => {
                    reader.error(&node.location, format!("expected {bounds}, found `{text}`"));
                    None
                }
            }
        }
        _ => {
            reader.mismatch(node, &bounds);
            None
        }
    }
}

fn narrow<T: TryFrom<u64>>(number: u64) -> Option<T> {
    T::try_from(number).ok()
}
