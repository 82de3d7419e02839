//! A request for a page: its parameters checked, and the links to the pages around it.
//!
//! Pages are numbered, not chained by cursors: a catalogue is browsed back and forth, changes
//! rarely, and is small enough that skipping rows costs nothing.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use shop_platform::problem::FieldError;
use utoipa::{IntoParams, ToSchema};

pub(crate) const PATH: &str = "/v1/products";

const DEFAULT_PER_PAGE: u32 = 20;
const MAX_PER_PAGE: u32 = 100;
/// Beyond it there is nothing, and skipping that far is not free.
const MAX_PAGE: u32 = 10_000;
const MAX_SEARCH: usize = 100;
const MAX_CATEGORY: usize = 40;

/// What RFC 3986 lets stand everywhere in a URL.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The parameters as they come.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RawListing {
    /// Words that a product must have, or begin to have.
    #[param(max_length = 100, example = "walnut lamp", nullable = false)]
    search: Option<String>,
    #[param(max_length = 40, example = "home", nullable = false)]
    category: Option<String>,
    #[param(minimum = 1, maximum = 10_000, nullable = false)]
    page: Option<u32>,
    #[param(minimum = 1, maximum = 100, nullable = false)]
    per_page: Option<u32>,
    #[param(inline, nullable = false)]
    sort: Option<Sort>,
}

/// The order of a listing. Without one: the best matches of a search first, or else by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
pub(crate) enum Sort {
    #[serde(rename = "name")]
    Name,
    #[serde(rename = "-name")]
    NameDescending,
    #[serde(rename = "price")]
    Price,
    #[serde(rename = "-price")]
    PriceDescending,
}

/// A request for a page that can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) search: Option<String>,
    pub(crate) category: Option<String>,
    pub(crate) page: u32,
    pub(crate) per_page: u32,
    pub(crate) sort: Option<Sort>,
}

impl Listing {
    /// Empty texts are as good as absent: a form sends its fields even if nobody filled them.
    pub(crate) fn try_new(raw: RawListing) -> Result<Self, Vec<FieldError>> {
        let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let listing = Self {
            search: given(raw.search),
            category: given(raw.category),
            page: raw.page.unwrap_or(1),
            per_page: raw.per_page.unwrap_or(DEFAULT_PER_PAGE),
            sort: raw.sort,
        };
        let longer = |text: &Option<String>, limit| {
            text.as_ref().is_some_and(|text| text.chars().count() > limit)
        };
        let wrong = [
            (longer(&listing.search, MAX_SEARCH), "search", "must have at most 100 characters"),
            (
                longer(&listing.category, MAX_CATEGORY),
                "category",
                "must have at most 40 characters",
            ),
            (!(1..=MAX_PAGE).contains(&listing.page), "page", "must be between 1 and 10000"),
            (
                !(1..=MAX_PER_PAGE).contains(&listing.per_page),
                "per_page",
                "must be between 1 and 100",
            ),
        ];
        let errors: Vec<FieldError> = wrong
            .into_iter()
            .filter(|(wrong, ..)| *wrong)
            .map(|(_, field, message)| FieldError { field, message })
            .collect();
        if errors.is_empty() { Ok(listing) } else { Err(errors) }
    }

    pub(crate) fn offset(&self) -> i64 {
        i64::from(self.page - 1) * i64::from(self.per_page)
    }

    /// How many pages `total` products fill.
    pub(crate) fn pages(&self, total: u64) -> u64 {
        total.div_ceil(u64::from(self.per_page))
    }

    /// The value of the `Link` header (RFC 8288): `first`, `prev`, `next`, `last`, where they are.
    pub(crate) fn links(&self, total: u64) -> String {
        let (page, last) = (u64::from(self.page), self.pages(total).max(1));
        let before = (page > 1).then(|| (page - 1).min(last));
        let after = (page < last).then_some(page + 1);
        let links = [("first", Some(1)), ("prev", before), ("next", after), ("last", Some(last))];
        let links = links.into_iter().filter_map(|(relation, page)| {
            page.map(|page| format!("<{}>; rel=\"{relation}\"", self.url(page)))
        });
        links.collect::<Vec<_>>().join(", ")
    }

    /// Relative to the host: the client knows better than we under which name it reached us.
    fn url(&self, page: u64) -> String {
        let mut url = format!("{PATH}?page={page}&per_page={}", self.per_page);
        let texts = [("search", self.search.as_deref()), ("category", self.category.as_deref())];
        let sort = self.sort.map(|sort| match sort {
            Sort::Name => "name",
            Sort::NameDescending => "-name",
            Sort::Price => "price",
            Sort::PriceDescending => "-price",
        });
        for (name, value) in texts.into_iter().chain([("sort", sort)]) {
            if let Some(value) = value {
                let value = utf8_percent_encode(value, RESERVED);
                url.push_str(&format!("&{name}={value}"));
            }
        }
        url
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The first page of what a search finds.
    pub(crate) fn searching(text: &str) -> Listing {
        let raw = RawListing { search: Some(text.to_owned()), ..Default::default() };
        Listing::try_new(raw).unwrap()
    }

    fn listing(page: u32, per_page: u32) -> Listing {
        let raw = RawListing { page: Some(page), per_page: Some(per_page), ..Default::default() };
        Listing::try_new(raw).unwrap()
    }

    #[test]
    fn links_lead_to_the_pages_that_are_there() {
        let check = |page, per_page, total, expected: &[(&str, u64)]| {
            let links = listing(page, per_page).links(total);
            let expected: Vec<String> = expected
                .iter()
                .map(|(relation, target)| {
                    format!("<{PATH}?page={target}&per_page={per_page}>; rel=\"{relation}\"")
                })
                .collect();
            assert_eq!(links, expected.join(", "), "page {page} of {total} by {per_page}");
        };
        check(1, 20, 0, &[("first", 1), ("last", 1)]);
        check(1, 20, 20, &[("first", 1), ("last", 1)]);
        check(1, 20, 21, &[("first", 1), ("next", 2), ("last", 2)]);
        check(2, 20, 60, &[("first", 1), ("prev", 1), ("next", 3), ("last", 3)]);
        check(3, 20, 60, &[("first", 1), ("prev", 2), ("last", 3)]);
        check(9, 20, 60, &[("first", 1), ("prev", 3), ("last", 3)]);
    }

    #[test]
    fn links_keep_the_question_and_cannot_be_broken_out_of() {
        let listing = Listing {
            search: Some("tea & <b>\r\n\"x\" ä>; rel=".to_owned()),
            category: Some("home".to_owned()),
            sort: Some(Sort::PriceDescending),
            ..listing(1, 20)
        };
        let expected = "</v1/products?page=1&per_page=20&search=tea%20%26%20%3Cb%3E%0D%0A%22x%22\
                        %20%C3%A4%3E%3B%20rel%3D&category=home&sort=-price>; rel=\"first\"";
        assert_eq!(listing.links(1).split(", ").next(), Some(expected));
    }

    #[test]
    fn everything_wrong_is_named_at_once() {
        let raw = RawListing {
            search: Some("a".repeat(101)),
            category: Some("a".repeat(41)),
            page: Some(0),
            per_page: Some(101),
            sort: None,
        };
        let errors = Listing::try_new(raw).unwrap_err();
        let fields: Vec<_> = errors.iter().map(|error| error.field).collect();
        assert_eq!(fields, ["search", "category", "page", "per_page"]);
    }
}
