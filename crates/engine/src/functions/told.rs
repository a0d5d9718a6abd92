// SPDX-License-Identifier: Apache-2.0
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use tidegate_functions::{MAX_SETS, TooLarge, encode_settings};

/// The settings of policies that a worker was told on one connection.
///
/// A text is told once, when the first request needs it. The number of one that no policy has any
/// more is given to the next, so that reloads do not make the table longer.
#[derive(Default)]
pub(super) struct Told {
    /// At `number - 1`. As long as one is here, its address is not another's.
    texts: Vec<Weak<str>>,
    numbers: HashMap<*const u8, u32, foldhash::fast::RandomState>,
}

impl Told {
    /// The number of a text; appends to `out` what tells it, if it is not known.
    ///
    /// # Errors
    /// [`TooLarge`] when it does not fit into a frame, or [`MAX_SETS`] others are in use.
    pub(super) fn number(&mut self, text: &Arc<str>, out: &mut Vec<u8>) -> Result<u32, TooLarge> {
        if let Some(number) = self.numbers.get(&text.as_ptr()) {
            return Ok(*number);
        }
        let unused = self.texts.iter().position(|each| each.strong_count() == 0);
        let place = unused.unwrap_or(self.texts.len());
        let number = u32::try_from(place + 1).map_err(|_| TooLarge)?;
        if number > MAX_SETS {
            return Err(TooLarge);
        }
        encode_settings(out, number, text)?;
        match self.texts.get_mut(place) {
            Some(old) => {
                self.numbers.remove(&old.as_ptr().cast());
                *old = Arc::downgrade(text);
            }
            None => self.texts.push(Arc::downgrade(text)),
        }
        self.numbers.insert(text.as_ptr(), number);
        Ok(number)
    }
}
