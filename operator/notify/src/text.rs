//! Cutting text where services count: in bytes or in characters, always between characters, and never inside an
//! alert's text where whole ones fit.

/// At most `max` bytes, cut between characters, with an ellipsis where something was cut.
pub fn truncate_bytes(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let room = max.saturating_sub('…'.len_utf8());
    let cut = (0..=room).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    let ellipsis = if max >= '…'.len_utf8() { "…" } else { "" };
    format!("{}{ellipsis}", &text[..cut])
}

/// At most `max` characters, with an ellipsis where something was cut.
pub fn truncate_chars(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(max.saturating_sub(1)).collect();
    if max == 0 { kept } else { kept + "…" }
}

/// Pages of at most `max` bytes made of whole `items` where they fit; a single item that is too long is cut. Of more
/// than `pages` pages the rest is left out and `more(n)` says how many.
pub fn paginate(
    items: &[String],
    separator: &str,
    max: usize,
    pages: usize,
    more: impl Fn(usize) -> String,
) -> Vec<String> {
    let reserve = more(items.len()).len() + separator.len();
    let room = max.saturating_sub(reserve);
    let mut all: Vec<String> = Vec::new();
    let mut page = String::new();
    let mut taken = 0;
    for item in items {
        let item = truncate_bytes(item, room);
        let needed = if page.is_empty() { item.len() } else { page.len() + separator.len() + item.len() };
        if needed > room && !page.is_empty() {
            if all.len() + 1 == pages {
                break;
            }
            all.push(std::mem::take(&mut page));
        }
        if !page.is_empty() {
            page.push_str(separator);
        }
        page.push_str(&item);
        taken += 1;
    }
    if taken < items.len() {
        page.push_str(separator);
        page.push_str(&more(items.len() - taken));
    }
    if !page.is_empty() || all.is_empty() {
        all.push(page);
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn chinese_is_cut_between_characters() {
        assert_eq!(truncate_bytes("数据库不可用", 10), "数据…");
        assert_eq!(truncate_chars("数据库不可用", 4), "数据库…");
        assert_eq!(truncate_bytes("ab", 2), "ab");
    }

    #[test]
    fn whole_items_stay_together_and_the_rest_is_counted() {
        let items: Vec<String> = (0..10).map(|i| format!("alert number {i}")).collect();
        let pages = paginate(&items, "\n", 60, 1, |n| format!("{n} more"));
        assert_eq!(pages, ["alert number 0\nalert number 1\nalert number 2\n7 more"]);
        assert_eq!(paginate(&items, "\n", 60, 9, |n| format!("{n} more")).len(), 4);
    }

    proptest! {
        #[test]
        fn no_page_is_longer_than_allowed(
            items in prop::collection::vec("\\PC{0,80}", 0..40), max in 40_usize..400, pages in 1_usize..5,
        ) {
            let all = paginate(&items, "\n", max, pages, |n| format!("+{n} 条"));
            prop_assert!(all.len() <= pages);
            for page in &all { prop_assert!(page.len() <= max); }
        }

        #[test]
        fn truncation_keeps_a_prefix(text in "\\PC{0,80}", max in 0_usize..100) {
            let cut = truncate_bytes(&text, max);
            prop_assert!(cut.len() <= max);
            prop_assert!(text.starts_with(cut.trim_end_matches('…')) || cut == text);
        }
    }
}
