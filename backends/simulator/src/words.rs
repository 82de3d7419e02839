//! What customers type: words that they search for, and what they complain about.

/// Some find much, some little, one nothing.
pub(crate) const SEARCHES: &[&str] = &[
    "lamp",
    "desk",
    "coffee",
    "knife",
    "steel",
    "wool",
    "garden",
    "book",
    "usb",
    "walnut desk",
    "cast iron",
    "kitchen bread",
    "ball",
    "tent",
    "Käse",
    "w",
    "set of six",
    "no such thing",
];

pub(crate) const CATEGORIES: &[&str] = &[
    "books",
    "clothing",
    "electronics",
    "garden",
    "home",
    "kitchen",
    "office",
    "outdoor",
    "sports",
    "toys",
];

pub(crate) const SORTS: &[&str] = &["name", "-name", "price", "-price"];

pub(crate) const COMPLAINTS: &[&str] = &[
    "It came in the wrong colour.",
    "One piece is missing.",
    "The box was open. Nothing is broken, but who does that?",
    "Viel kleiner als auf dem Bild \u{1f614}",
    "I would like to speak to the manager.",
];
