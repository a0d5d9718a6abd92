// SPDX-License-Identifier: Apache-2.0
use tidegate_config::ErrorPage;
use tidegate_files::accept;
use tidegate_request::{FieldId, Request};

/// A piece of a page.
enum Piece {
    Text(String),
    Status,
    RequestId,
}

/// One form of a page.
struct Form {
    content_type: String,
    /// Its top-level type and subtype.
    kind: (String, String),
    pieces: Vec<Piece>,
}

/// The forms of one page, the preferred one first.
pub(crate) struct Forms(Vec<Form>);

impl Forms {
    pub(crate) fn build(bodies: Vec<(String, String)>) -> Self {
        Self(bodies.into_iter().map(Form::build).collect())
    }

    /// The form that the client likes best, filled in, and its content type; the first one where it
    /// likes none, since an error has to be told all the same. `None` without any form.
    pub(crate) fn fill(
        &self,
        request: Option<&Request>,
        status: u16,
        request_id: &str,
    ) -> Option<(&str, Vec<u8>)> {
        let mut best = (0, self.0.first()?);
        for form in &self.0 {
            let lines = request
                .into_iter()
                .flat_map(|request| request.fields().get_all(FieldId::Accept));
            let suits = accept::media(lines, &form.kind.0, &form.kind.1);
            if suits.quality > best.0 {
                best = (suits.quality, form);
            }
        }
        let form = best.1;
        let mut body = Vec::new();
        for piece in &form.pieces {
            match piece {
                Piece::Text(text) => body.extend_from_slice(text.as_bytes()),
                Piece::Status => body.extend_from_slice(status.to_string().as_bytes()),
                // Letters, digits, `-`, `_` and `.`, whoever named it: nothing to escape.
                Piece::RequestId => body.extend_from_slice(request_id.as_bytes()),
            }
        }
        Some((&form.content_type, body))
    }
}

impl Form {
    fn build((media_type, text): (String, String)) -> Self {
        let bare = media_type.split(';').next().unwrap_or_default().trim();
        let (top, sub) = bare.split_once('/').unwrap_or((bare, ""));
        let kind = (top.to_owned(), sub.to_owned());
        let content_type = match tidegate_files::types::is_text(&media_type) {
            true => format!("{media_type}; charset=utf-8"),
            false => media_type,
        };
        Self {
            content_type,
            kind,
            pieces: pieces(&text),
        }
    }
}

/// Parts a text at `{status}` and `{request_id}`; other braces are text.
fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = text;
    loop {
        let found = [("{status}", true), ("{request_id}", false)]
            .into_iter()
            .filter_map(|(word, is_status)| Some((rest.find(word)?, word, is_status)))
            .min();
        let Some((at, word, is_status)) = found else {
            pieces.push(Piece::Text(rest.to_owned()));
            return pieces;
        };
        let (before, behind) = rest.split_at_checked(at).unwrap_or((rest, ""));
        pieces.push(Piece::Text(before.to_owned()));
        pieces.push(if is_status {
            Piece::Status
        } else {
            Piece::RequestId
        });
        rest = behind.strip_prefix(word).unwrap_or_default();
    }
}

/// What is answered in the place of an error.
pub(crate) struct PagePlan {
    /// The first and the last status it is for.
    statuses: (u16, u16),
    pub(crate) forms: Forms,
    pub(crate) status: Option<u16>,
    pub(crate) intercept: bool,
}

/// The pages of one scope, in the order they are looked through.
#[derive(Default)]
pub(crate) struct ErrorPages(Vec<PagePlan>);

impl ErrorPages {
    pub(crate) fn build(config: Vec<(String, ErrorPage)>) -> Result<Self, String> {
        let pages = config.into_iter().map(|(statuses, page)| {
            let first = match statuses.strip_suffix("xx") {
                Some(class) => class
                    .parse::<u16>()
                    .map(|class| (class * 100, class * 100 + 99)),
                None => statuses.parse().map(|status| (status, status)),
            };
            Ok(PagePlan {
                statuses: first.map_err(|_| format!("`{statuses}` is no status"))?,
                forms: Forms::build(page.bodies),
                status: page.status,
                intercept: page.intercept,
            })
        });
        Ok(Self(pages.collect::<Result<_, String>>()?))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The page for `status`; only of those that intercept, for an answer that was not made here.
    pub(crate) fn find(&self, status: u16, is_ours: bool) -> Option<&PagePlan> {
        self.0.iter().find(|page| {
            let (first, last) = page.statuses;
            (first..=last).contains(&status) && (is_ours || page.intercept)
        })
    }
}
