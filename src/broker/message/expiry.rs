//! Times after which messages expire, by the calendar of UTC.

/// What an amount of time is counted in; see [`Message::with_expires_in`](super::Message::with_expires_in).
///
/// Years and months are those of the calendar, in UTC: a month after the 31st of January is the last of February, and
/// the time of day stays. The other units have always the same length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ExpiryUnit {
    Years,
    Months,
    Weeks,
    Days,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

const SECOND: i64 = 1000;
const DAY: i64 = 24 * 60 * 60 * SECOND;

impl ExpiryUnit {
    /// The time so much later, in milliseconds since 1970; `None` where that is too large a number.
    pub(super) fn after(self, start: i64, amount: u32) -> Option<i64> {
        let amount = i64::from(amount);
        let length = match self {
            Self::Years => return months_after(start, 12 * amount),
            Self::Months => return months_after(start, amount),
            Self::Weeks => 7 * DAY,
            Self::Days => DAY,
            Self::Hours => 60 * 60 * SECOND,
            Self::Minutes => 60 * SECOND,
            Self::Seconds => SECOND,
            Self::Milliseconds => 1,
        };
        start.checked_add(amount.checked_mul(length)?)
    }
}

fn months_after(start: i64, months: i64) -> Option<i64> {
    let (year, month, day) = date(start.div_euclid(DAY));
    let month = year.checked_mul(12)?.checked_add(month + months)?;
    let first = day_number(month)?;
    let length = day_number(month + 1)? - first;
    let days = first + day.min(length - 1);
    days.checked_mul(DAY)?.checked_add(start.rem_euclid(DAY))
}

/// Year, month and day of the month, the last two from 0, of a day counted from the first of January 1970.
fn date(days: i64) -> (i64, i64, i64) {
    // Years that begin in March have their leap day at the end. 719468 days lie between the first of March of the
    // year 0 and 1970, and 146097 days are 400 years.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5;
    let year = 400 * era + year + i64::from(month >= 10);
    (year, (month + 2) % 12, day)
}

/// The first day of a month, which is counted from January of the year 0.
fn day_number(month: i64) -> Option<i64> {
    let march = month.checked_sub(2)?;
    let (year, month) = (march.div_euclid(12), march.rem_euclid(12));
    let leap = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let day = year.checked_mul(365)?.checked_add(leap)?;
    day.checked_add((153 * month + 2) / 5 - 719_468)
}
