// SPDX-License-Identifier: Apache-2.0

/// Reads bytes as a configuration has them: text, or pairs of hexadecimal digits behind `hex:`.
///
/// # Errors
/// Digits that are none, or an odd number of them.
pub fn written_bytes(text: &str) -> Result<Vec<u8>, String> {
    let Some(digits) = text.strip_prefix("hex:") else {
        return Ok(text.as_bytes().to_vec());
    };
    let pairs = (0..digits.len()).step_by(2);
    let bytes = pairs.map(|at| {
        let pair = digits.get(at..at + 2)?;
        u8::from_str_radix(pair, 16).ok()
    });
    let bytes: Option<Vec<u8>> = bytes.collect();
    bytes.ok_or_else(|| format!("`{text}` are no bytes"))
}
