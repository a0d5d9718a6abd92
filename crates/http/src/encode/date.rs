// SPDX-License-Identifier: Apache-2.0

/// Appends `seconds` since 1970 as an HTTP date (IMF-fixdate, RFC 9110 §5.6.7): 29 bytes such as
/// `Sun, 06 Nov 1994 08:49:37 GMT`. After the year 9999 it stays at that year's last second.
pub fn write_http_date(out: &mut Vec<u8>, seconds: u64) {
    const DAYS: &[u8; 21] = b"ThuFriSatSunMonTueWed";
    const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    const LAST: u64 = 253_402_300_799;
    let seconds = seconds.min(LAST);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    out.extend_from_slice(three(DAYS, days % 7));
    out.extend_from_slice(b", ");
    push_two(out, day);
    out.push(b' ');
    out.extend_from_slice(three(MONTHS, month));
    out.push(b' ');
    push_two(out, year / 100);
    push_two(out, year % 100);
    out.push(b' ');
    push_two(out, second / 3600);
    out.push(b':');
    push_two(out, second / 60 % 60);
    out.push(b':');
    push_two(out, second % 60);
    out.extend_from_slice(b" GMT");
}

/// Year, month from 0 and day of the month from 1, in the proleptic Gregorian calendar.
fn civil(mut days: u64) -> (u64, u64, u64) {
    // Years are counted from March 1, 0000, so that a leap day is the last of its year.
    days += 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // March is 0; 153 days are five months.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = year_of_era + era * 400 + u64::from(month >= 10);
    (year, (month + 2) % 12, day)
}

fn three(names: &'static [u8], index: u64) -> &'static [u8] {
    let start = index as usize * 3;
    names.get(start..start + 3).unwrap_or_default()
}

fn push_two(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&[b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]);
}
