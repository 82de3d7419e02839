//! Fills the configuration of an engine in.
//!
//! A template says everything that an engine can be set up for. `@WORD@` is replaced. A line that
//! begins with `@word?` is there only if that holds, one with `@word!` only if it does not; more
//! than one such condition may stand before a line.

use anyhow::{Context, bail};

use crate::setting::{Listener, Origin, Policies, Setting};

/// The routes behind the first so many, up to that number: each has a host and a path of its own.
pub(super) fn routes(template: &str, behind: u32, to: u32) -> String {
    let one = |index: u32| {
        template
            .replace("@INDEX@", &index.to_string())
            .replace("@HOST@", &host(index))
            .replace("@PATH@", &path(index))
    };
    (behind + 1..=to).map(one).collect::<Vec<_>>().join("\n")
}

pub(crate) fn host(index: u32) -> String {
    format!("shop-{index}.example.com")
}

pub(crate) fn path(index: u32) -> String {
    format!("/api/{index}")
}

/// Replaces words and leaves out what the setting leaves out.
pub(super) fn filled(
    template: &str,
    setting: &Setting,
    words: &[(&str, String)],
) -> anyhow::Result<String> {
    let mut text = String::new();
    for line in template.lines() {
        let content = line.trim_start();
        let indentation = &line[..line.len() - content.len()];
        if let Some(content) = kept(content, setting).with_context(|| line.to_owned())? {
            text.push_str(indentation);
            text.push_str(content);
            text.push('\n');
        }
    }
    for (word, value) in words {
        text = text.replace(word, value);
    }
    Ok(text)
}

/// The line without its conditions, if they hold.
fn kept<'a>(line: &'a str, setting: &Setting) -> anyhow::Result<Option<&'a str>> {
    let mut rest = line;
    while let Some(begun) = rest.strip_prefix('@') {
        let Some(end) = begun.find(|character: char| !character.is_ascii_lowercase()) else {
            bail!("a condition has no end");
        };
        let expected = match begun.as_bytes()[end] {
            b'?' => true,
            b'!' => false,
            // A word to be replaced.
            _ => break,
        };
        if holds(&begun[..end], setting)? != expected {
            return Ok(None);
        }
        rest = &begun[end + 1..];
    }
    Ok(Some(rest))
}

fn holds(condition: &str, setting: &Setting) -> anyhow::Result<bool> {
    Ok(match condition {
        "log" => setting.logs,
        "htwo" => setting.listener == Listener::H2c,
        "tls" => setting.listener == Listener::Tls,
        "grpc" => matches!(setting.origin, Origin::Grpc | Origin::GrpcEcho),
        "websocket" => setting.origin == Origin::WebSocketEcho,
        "shop" => setting.origin == Origin::Shop,
        "routed" => setting.routes > 0,
        "off" => setting.policies == Policies::Off,
        "all" => setting.policies == Policies::All,
        other => bail!("no condition is called `{other}`"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_there_or_not() {
        let template = "a @X@\n  @log?b\n  @log!c\n@tls?@log?d\n@shop?f\n@X@ e\n";
        let words = [("@X@", "1".to_owned())];
        let check = |setting: Setting, expected: &str| {
            assert_eq!(filled(template, &setting, &words).unwrap(), expected);
        };
        check(Setting::PLAIN, "a 1\n  b\n1 e\n");
        check(Setting { logs: false, ..Setting::PLAIN }, "a 1\n  c\n1 e\n");
        check(Setting { listener: Listener::Tls, ..Setting::PLAIN }, "a 1\n  b\nd\n1 e\n");
        check(Setting { origin: Origin::Shop, ..Setting::PLAIN }, "a 1\n  b\nf\n1 e\n");
    }

    #[test]
    fn unknown_conditions_are_errors() {
        let error = filled("@lgo?x", &Setting::PLAIN, &[]).unwrap_err();
        assert!(format!("{error:#}").contains("`lgo`"), "{error:#}");
    }

    #[test]
    fn routes_differ() {
        assert_eq!(
            routes("@INDEX@: @HOST@@PATH@", 1, 3),
            "2: shop-2.example.com/api/2\n3: shop-3.example.com/api/3"
        );
    }
}
