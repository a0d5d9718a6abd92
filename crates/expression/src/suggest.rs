// SPDX-License-Identifier: Apache-2.0

/// The name that was probably meant.
pub(crate) fn nearest<'n>(name: &str, all: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let most = name.len() / 3 + 1;
    all.map(|own| (distance(name, own), own))
        .filter(|(distance, _)| *distance <= most.min(3))
        .min()
        .map(|(_, own)| own)
}

/// Letters to change, put in or leave out.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, left) in one.bytes().enumerate() {
        let mut before = line;
        let mut last = line + 1;
        if let Some(first) = row.first_mut() {
            *first = last;
        }
        for (place, right) in row.iter_mut().skip(1).zip(other.bytes()) {
            let changed = before + usize::from(!left.eq_ignore_ascii_case(&right));
            before = *place;
            last = changed.min(before + 1).min(last + 1);
            *place = last;
        }
    }
    row.last().copied().unwrap_or_default()
}
