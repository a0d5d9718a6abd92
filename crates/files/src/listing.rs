// SPDX-License-Identifier: Apache-2.0
//! A folder's content as a page or as JSON.
use crate::name::encode_segment;
use std::fmt::Write;

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// As the file system has it; any bytes but NUL and `/`.
    pub name: Vec<u8>,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Bytes, of a file.
    pub length: u64,
    /// When it was changed, as an HTTP date.
    pub modified: String,
}

/// Folders first, then by name.
pub fn sort(items: &mut [Item]) {
    items.sort_by(|one, other| (other.is_folder, &one.name).cmp(&(one.is_folder, &other.name)));
}

/// A page that names `items` of the folder at `path`, the request path; `has_more` says that some were
/// left out.
pub fn html(path: &str, items: &[Item], has_more: bool) -> String {
    let title = escaped(path.as_bytes());
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>body{{font-family:sans-serif;margin:2em}}td{{padding:.1em 1em .1em 0}}\
         td+td{{text-align:right}}</style>\n<h1>{title}</h1>\n<table>\n\
         <tr><td><a href=\"../\">../</a></td></tr>\n"
    );
    for item in items {
        let mut link = String::new();
        encode_segment(&item.name, &mut link);
        let slash = if item.is_folder { "/" } else { "" };
        let length = match item.is_folder {
            true => String::new(),
            false => item.length.to_string(),
        };
        let shown = escaped(&item.name);
        // `./` in front: a name may look like a scheme.
        let _ = writeln!(
            page,
            "<tr><td><a href=\"./{link}{slash}\">{shown}{slash}</a></td><td>{length}</td><td>{}</td></tr>",
            item.modified
        );
    }
    page.push_str("</table>\n");
    if has_more {
        page.push_str("<p>There are more names than are shown.</p>\n");
    }
    page.push_str("</html>\n");
    page
}

/// The same as JSON: an object with `items`, each with `name`, `type` (`file` or `folder`), `size` of
/// a file in bytes and `modified`, and with `complete`. Bytes that are no UTF-8 become U+FFFD.
pub fn json(items: &[Item], has_more: bool) -> String {
    let mut text = String::from("{\"items\":[");
    for (number, item) in items.iter().enumerate() {
        if number > 0 {
            text.push(',');
        }
        text.push_str("{\"name\":");
        quoted(&item.name, &mut text);
        match item.is_folder {
            true => text.push_str(",\"type\":\"folder\""),
            false => {
                let _ = write!(text, ",\"type\":\"file\",\"size\":{}", item.length);
            }
        }
        let _ = write!(text, ",\"modified\":\"{}\"}}", item.modified);
    }
    let _ = write!(text, "],\"complete\":{}}}", !has_more);
    text
}

/// Text that can stand in HTML, inside and outside of attributes.
pub fn escaped(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in String::from_utf8_lossy(text).chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter if letter.is_control() => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

/// Appends a JSON string.
fn quoted(text: &[u8], out: &mut String) {
    out.push('"');
    for letter in String::from_utf8_lossy(text).chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            letter if letter.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
}
