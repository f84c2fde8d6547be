import Foundation

/// RFC 3339 with nine digits of nanoseconds, in UTC: `2026-01-31T23:59:59.123456789Z`.
///
/// Written and read for each chunk of a log, so without Foundation's formatters.
enum LogTimestamp {
    static let length = 30

    static func format(_ date: Date) -> [UInt8] {
        let nanoseconds = Int64((date.timeIntervalSince1970 * 1e9).rounded())
        let seconds = nanoseconds.floorDivided(by: 1_000_000_000)
        let day = seconds.floorDivided(by: 86400)
        let second = Int(seconds - day * 86400)
        let (year, month, dayOfMonth) = civil(fromDays: Int(day))
        var text: [UInt8] = []
        text.reserveCapacity(length)
        func append(_ number: Int, digits: Int) {
            var power = 1
            for _ in 1..<digits { power *= 10 }
            while power > 0 {
                text.append(UInt8(48 + number / power % 10))
                power /= 10
            }
        }
        append(year, digits: 4)
        text.append(45)
        append(month, digits: 2)
        text.append(45)
        append(dayOfMonth, digits: 2)
        text.append(84)
        append(second / 3600, digits: 2)
        text.append(58)
        append(second / 60 % 60, digits: 2)
        text.append(58)
        append(second % 60, digits: 2)
        text.append(46)
        append(Int(nanoseconds - seconds * 1_000_000_000), digits: 9)
        text.append(90)
        return text
    }

    static func parse(_ text: ArraySlice<UInt8>) -> Date? {
        guard text.count == length, text.last == 90 else { return nil }
        func number(_ range: Range<Int>) -> Int {
            text[text.startIndex + range.lowerBound..<text.startIndex + range.upperBound].reduce(0) {
                $0 * 10 + Int($1) - 48
            }
        }
        let days = days(year: number(0..<4), month: number(5..<7), day: number(8..<10))
        let seconds = days * 86400 + number(11..<13) * 3600 + number(14..<16) * 60 + number(17..<19)
        return Date(timeIntervalSince1970: Double(seconds) + Double(number(20..<29)) / 1e9)
    }

    // The proleptic Gregorian calendar in whole days from 1970-01-01; years start in March, so that leap days come last.
    private static func civil(fromDays days: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    }

    private static func days(year: Int, month: Int, day: Int) -> Int {
        let year = month <= 2 ? year - 1 : year
        let era = (year >= 0 ? year : year - 399) / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}

extension Int64 {
    fileprivate func floorDivided(by divisor: Int64) -> Int64 {
        let quotient = self / divisor
        return self % divisor < 0 ? quotient - 1 : quotient
    }
}
