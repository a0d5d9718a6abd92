// SPDX-License-Identifier: Apache-2.0
use tidegate_core::civil;

/// A time as HTTP writes it (IMF-fixdate, RFC 9110 §5.6.7): 29 bytes such as
/// `Sun, 06 Nov 1994 08:49:37 GMT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpDate([u8; 29]);

impl HttpDate {
    /// The date of `seconds` since 1970. After the year 9999 it stays at that year's last second.
    pub fn at(seconds: u64) -> Self {
        const DAYS: &[u8; 21] = b"ThuFriSatSunMonTueWed";
        const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
        const LAST: u64 = 253_402_300_799;
        let seconds = seconds.min(LAST);
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(days);
        let [d1, d2, d3] = three(DAYS, days % 7);
        let [m1, m2, m3] = three(MONTHS, month - 1);
        let ([c1, c2], [y1, y2]) = (two(year / 100), two(year));
        let ([t1, t2], [h1, h2]) = (two(day), two(second / 3600));
        let ([n1, n2], [s1, s2]) = (two(second / 60 % 60), two(second % 60));
        Self([
            d1, d2, d3, b',', b' ', t1, t2, b' ', m1, m2, m3, b' ', c1, c2, y1, y2, b' ', h1, h2,
            b':', n1, n2, b':', s1, s2, b' ', b'G', b'M', b'T',
        ])
    }

    /// Its text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn three<const COUNT: usize>(names: &[u8; COUNT], index: u64) -> [u8; 3] {
    let start = index as usize * 3;
    let name = names.get(start..start + 3);
    name.and_then(|name| name.try_into().ok())
        .unwrap_or([b'?'; 3])
}

fn two(number: u64) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}
