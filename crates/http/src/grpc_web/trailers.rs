// SPDX-License-Identifier: Apache-2.0
use tidegate_request::Fields;

/// The flag of a frame that holds trailers.
const TRAILERS: u8 = 0x80;

/// The last frame of an answer: trailers as HTTP/1.1 writes fields, names in lower case.
pub fn trailers_frame(trailers: &Fields) -> Vec<u8> {
    let mut block = Vec::new();
    for field in trailers.iter() {
        block.extend(field.name.iter().map(u8::to_ascii_lowercase));
        block.extend_from_slice(b": ");
        block.extend_from_slice(field.value);
        block.extend_from_slice(b"\r\n");
    }
    // Fields are bounded far below that.
    let length = u32::try_from(block.len()).unwrap_or(u32::MAX);
    let mut frame = vec![TRAILERS];
    frame.extend_from_slice(&length.to_be_bytes());
    frame.append(&mut block);
    frame
}
