// SPDX-License-Identifier: Apache-2.0

/// Year, month from 1 and day of the month from 1 of a count of days since 1970, in the proleptic
/// Gregorian calendar. After Hinnant, "chrono-compatible low-level date algorithms".
pub fn civil(days: u64) -> (u64, u64, u64) {
    // Years are counted from March 1, 0000, so that a leap day is the last of its year.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // March is 0; 153 days are five months.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// Days since 1970 of a date in the proleptic Gregorian calendar: the other way round than [`civil`]. `None`
/// before 1970.
pub fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    // Years begin in March, so that a leap day is the last of its year.
    let (year, month) = match month {
        1 | 2 => (year.checked_sub(1)?, month + 9),
        _ => (year, month.checked_sub(3)?),
    };
    let of_year = (153 * month + 2) / 5 + day.checked_sub(1)?;
    (365 * year + year / 4 - year / 100 + year / 400 + of_year).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_and_its_days_are_the_same() {
        for day in (0..200_000).step_by(13) {
            let (year, month, of_month) = civil(day);
            assert_eq!(days(year, month, of_month), Some(day));
        }
        assert_eq!(days(1969, 12, 31), None);
        assert_eq!(days(0, 1, 1), None);
    }
}
