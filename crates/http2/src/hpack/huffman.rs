// SPDX-License-Identifier: Apache-2.0
//! The Huffman code of RFC 7541 Appendix B.
//!
//! The code is canonical (codes of one length follow each other in the order of their symbols), so
//! its lengths are all that is written down; codes and tables are made from them by the compiler.

/// Bits of each symbol's code; the last symbol is EOS.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, //
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, //
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, //
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, //
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, //
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, //
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, //
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, //
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, //
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, //
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, //
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, //
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, //
    30,
];

const SHORTEST: usize = 5;
const LONGEST: usize = 30;
const EOS: u16 = 256;

/// Bits that one step of the decoder looks up: two symbols of five bits each fit.
const STEP: u32 = 10;

/// The code by length: where the codes of a length begin, and their symbols in order.
struct Canonical {
    /// Code of each symbol, its bits at the low end.
    codes: [u32; 257],
    /// First code of each length.
    first: [u32; LONGEST + 2],
    /// Place of that code's symbol in `symbols`.
    offset: [u16; LONGEST + 2],
    /// All symbols in the order of their codes.
    symbols: [u16; 257],
}

const CANONICAL: Canonical = {
    let mut made = Canonical {
        codes: [0; 257],
        first: [0; LONGEST + 2],
        offset: [0; LONGEST + 2],
        symbols: [0; 257],
    };
    let mut code = 0;
    let mut place = 0;
    let mut length = SHORTEST;
    while length <= LONGEST {
        made.first[length] = code;
        made.offset[length] = place as u16;
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == length {
                made.codes[symbol] = code;
                made.symbols[place] = symbol as u16;
                place += 1;
                code += 1;
            }
            symbol += 1;
        }
        code <<= 1;
        length += 1;
    }
    made.offset[LONGEST + 1] = place as u16;
    made
};

static CODES: [(u32, u8); 257] = {
    let mut codes = [(0, 0); 257];
    let mut symbol = 0;
    while symbol < 257 {
        codes[symbol] = (CANONICAL.codes[symbol], LENGTHS[symbol]);
        symbol += 1;
    }
    codes
};

static LONG: Canonical = CANONICAL;

/// What the next [`STEP`] bits hold: one or two symbols, or the start of a longer code.
#[derive(Clone, Copy)]
struct Found {
    symbols: [u8; 2],
    /// Bits of the first symbol; 0 when its code is longer than a step.
    first: u8,
    /// Bits of both symbols; as `first` when there is one.
    both: u8,
}

static FOUND: [Found; 1 << STEP] = {
    let none = Found {
        symbols: [0; 2],
        first: 0,
        both: 0,
    };
    let mut table = [none; 1 << STEP];
    let mut index = 0;
    while index < 1 << STEP {
        let (symbol, length) = short(index as u32, STEP);
        if length > 0 {
            table[index].symbols[0] = symbol;
            table[index].first = length;
            table[index].both = length;
            let left = STEP - length as u32;
            let (symbol, more) = short(index as u32 & ((1 << left) - 1), left);
            if more > 0 {
                table[index].symbols[1] = symbol;
                table[index].both = length + more;
            }
        }
        index += 1;
    }
    table
};

/// The symbol whose code begins the low `width` bits of `bits`, and its length; 0 for none.
const fn short(bits: u32, width: u32) -> (u8, u8) {
    let mut length = SHORTEST;
    while length <= width as usize {
        let code = bits >> (width - length as u32);
        let count = CANONICAL.offset[length + 1] - CANONICAL.offset[length];
        let past = code.wrapping_sub(CANONICAL.first[length]);
        if past < count as u32 {
            let symbol = CANONICAL.symbols[(CANONICAL.offset[length] as u32 + past) as usize];
            return (symbol as u8, length as u8);
        }
        length += 1;
    }
    (0, 0)
}

/// Why a string was not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HuffmanError {
    /// It holds EOS, or its padding is not the beginning of EOS or longer than seven bits.
    Invalid,
    /// It is longer than the room for it.
    TooLong,
}

/// Decodes `input` into `out`; returns how many bytes it is. RFC 7541 §5.2.
///
/// # Errors
/// What is malformed, or longer than `out`.
#[inline]
pub fn decode(input: &[u8], out: &mut [u8]) -> Result<usize, HuffmanError> {
    // Bits not yet decoded, at the high end; `held` of them. Below them are zeros.
    let (mut bits, mut held) = (0_u64, 0_u32);
    let (words, mut rest) = input.as_chunks::<4>();
    let mut words = words.iter();
    let mut at = 0;
    loop {
        while held <= 32 {
            if let Some(word) = words.next() {
                bits |= u64::from(u32::from_be_bytes(*word)) << (32 - held);
                held += 32;
            } else if let [byte, after @ ..] = rest {
                bits |= u64::from(*byte) << (56 - held);
                held += 8;
                rest = after;
            } else {
                break;
            }
        }
        if held < STEP {
            return finish(bits, held, out, at);
        }
        // Whatever is held is at least a step: as many as there are, before more bits are taken.
        while held >= STEP {
            let found = FOUND[(bits >> (64 - STEP)) as usize];
            if found.first == 0 {
                if held < LONGEST as u32 && (words.len() > 0 || !rest.is_empty()) {
                    break;
                }
                let (symbol, length) = long(bits, held)?;
                *out.get_mut(at).ok_or(HuffmanError::TooLong)? = symbol;
                at += 1;
                bits <<= length;
                held -= length;
                continue;
            }
            if let Some(pair) = out.get_mut(at..at + 2) {
                pair.copy_from_slice(&found.symbols);
            } else {
                // The room ends here: one symbol at a time.
                *out.get_mut(at).ok_or(HuffmanError::TooLong)? = found.symbols[0];
                at += 1;
                bits <<= found.first;
                held -= u32::from(found.first);
                continue;
            }
            at += 1 + usize::from(found.both > found.first);
            bits <<= found.both;
            held -= u32::from(found.both);
        }
    }
}

/// A code longer than a step, within `held` bits.
#[cold]
fn long(bits: u64, held: u32) -> Result<(u8, u32), HuffmanError> {
    for length in STEP as usize + 1..=LONGEST.min(held as usize) {
        let code = (bits >> (64 - length)) as u32;
        let (Some(&first), Some(&offset), Some(&next)) = (
            LONG.first.get(length),
            LONG.offset.get(length),
            LONG.offset.get(length + 1),
        ) else {
            break;
        };
        let past = code.wrapping_sub(first);
        if past < u32::from(next - offset) {
            let symbol = LONG
                .symbols
                .get(usize::from(offset) + past as usize)
                .copied()
                .unwrap_or(EOS);
            let symbol = u8::try_from(symbol).map_err(|_| HuffmanError::Invalid)?;
            return Ok((symbol, length as u32));
        }
    }
    Err(HuffmanError::Invalid)
}

/// The last bits, fewer than a step: at most one or two symbols, then padding.
#[inline]
fn finish(
    mut bits: u64,
    mut held: u32,
    out: &mut [u8],
    mut at: usize,
) -> Result<usize, HuffmanError> {
    loop {
        // Padding is ones; so is what is filled in, and no code of seven bits or less is all ones.
        let filled = bits | (u64::MAX >> held);
        if held < 8 && filled == u64::MAX {
            return Ok(at);
        }
        let found = FOUND[(filled >> (64 - STEP)) as usize];
        let length = u32::from(found.first);
        if length == 0 || length > held {
            return Err(HuffmanError::Invalid);
        }
        *out.get_mut(at).ok_or(HuffmanError::TooLong)? = found.symbols[0];
        at += 1;
        bits <<= length;
        held -= length;
    }
}

/// Bytes that `text` takes when encoded.
#[inline]
pub fn encoded_length(text: &[u8]) -> usize {
    let bits: usize = text
        .iter()
        .map(|&byte| usize::from(CODES[usize::from(byte)].1))
        .sum();
    bits.div_ceil(8)
}

/// Appends `text` encoded, padded with the beginning of EOS.
#[inline]
pub fn encode(text: &[u8], out: &mut Vec<u8>) {
    // Bits to be written, at the low end; `held` of them, fewer than 32 between symbols.
    let (mut bits, mut held) = (0_u64, 0_u32);
    for &byte in text {
        let (code, length) = CODES[usize::from(byte)];
        bits = (bits << length) | u64::from(code);
        held += u32::from(length);
        if held >= 32 {
            held -= 32;
            out.extend_from_slice(&((bits >> held) as u32).to_be_bytes());
        }
    }
    let padding = (8 - held % 8) % 8;
    bits = (bits << padding) | ((1 << padding) - 1);
    held += padding;
    while held > 0 {
        held -= 8;
        out.push((bits >> held) as u8);
    }
}

/// The code of `symbol`, and how many bits it has.
#[cfg(test)]
pub(super) fn code(symbol: u8) -> (u32, u8) {
    CODES[usize::from(symbol)]
}
