//! One line of text that came from outside: nothing in it ends the line, or turns it round.

/// Longer than any name or reason that means well.
const LIMIT: usize = 200;

/// Text without line ends and control characters, cut to 200 characters. It can stand in a
/// header, in a line of a log and in a sentence without becoming two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line(String);

impl Line {
    pub(crate) fn of(text: &str) -> Self {
        let plain = text.chars().map(|character| if breaks(character) { ' ' } else { character });
        let cut: String = plain.take(LIMIT).collect();
        Self(cut.trim().to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Control characters (CR and LF among them), Unicode's own line ends, and what reverses the
/// direction of the text behind it.
fn breaks(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_line_or_turns_it_round() {
        let check = |text: &str, expected: &str| assert_eq!(Line::of(text).as_str(), expected);
        check("Ada Lovelace", "Ada Lovelace");
        check("  Ζωή 🌊 ", "Ζωή 🌊");
        check("Ada\r\nBcc: eve@example.com", "Ada  Bcc: eve@example.com");
        check("Ada\u{2028}\u{85}x\0y\u{7f}z", "Ada  x y z");
        check("\u{202e}adA\u{2066}", "adA");
        check("\r\n\t", "");
        check(&"ä".repeat(300), &"ä".repeat(200));
    }
}
