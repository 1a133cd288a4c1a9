//! Tests of dates and their names.

use super::*;

fn day(text: &str) -> Day {
    let numbers: Vec<i32> = text.split('-').map(|number| number.parse().unwrap()).collect();
    Day::new(numbers[0], numbers[1] as u32, numbers[2] as u32).unwrap()
}

/// What a text names on Wednesday, 15 May 2024, written as `first..last` and `--month-day`.
fn names(text: &str) -> Vec<String> {
    let name = |date: Named| match date {
        Named::Days(days) => {
            format!("{}..{}", &days.first.marks()[0][1..], &days.last.marks()[0][1..])
        }
        Named::Yearly { month, day: Some(day) } => format!("--{month}-{day}"),
        Named::Yearly { month, day: None } => format!("--{month}"),
    };
    named(text, Some(day("2024-05-15"))).into_iter().map(name).collect()
}

#[test]
fn days_and_dates_are_the_same() {
    assert_eq!(Day::new(1970, 1, 1), Some(Day(0)));
    assert_eq!(Day::new(2000, 2, 29), Some(Day(11_016)));
    for number in (-700_000..3_000_000).step_by(97) {
        let (year, month, date) = Day(number).date();
        if (1..=9_999).contains(&year) {
            assert_eq!(Day::new(year, month, date), Some(Day(number)));
        }
    }
}

#[test]
fn a_day_that_there_is_not_is_none() {
    for (year, month, date) in [
        (2023, 2, 29),
        (2024, 2, 30),
        (2024, 4, 31),
        (2024, 13, 1),
        (2024, 0, 1),
        (2024, 1, 0),
        (0, 1, 1),
    ] {
        assert_eq!(Day::new(year, month, date), None, "{year}-{month}-{date}");
    }
}

#[test]
fn dates_are_named_in_many_ways() {
    let seventh = "2024-05-07..2024-05-07";
    for text in [
        "on 7 May 2024",
        "the 7th of May, 2024",
        "May 7, 2024",
        "May 7th 2024",
        "2024-05-07",
        "2024-05-07T13:56Z",
        "7 may 2024!",
        "Sept 2, no: 7 May, 2024",
    ] {
        assert!(names(text).contains(&seventh.to_owned()), "{text}: {:?}", names(text));
    }
    assert_eq!(names("in May 2023 or so"), ["2023-05-01..2023-05-31"]);
    assert_eq!(names("February of 2024"), ["2024-02-01..2024-02-29"]);
    assert_eq!(names("back in 2019"), ["2019-01-01..2019-12-31"]);
    assert_eq!(names("on June 12"), ["--6-12"]);
    assert_eq!(names("during March, and in Dec 3rd"), ["--3", "--12-3"]);
}

#[test]
fn distances_are_counted_from_today() {
    for (text, expected) in [
        ("yesterday", "2024-05-14..2024-05-14"),
        ("Tomorrow at nine", "2024-05-16..2024-05-16"),
        ("last week", "2024-05-06..2024-05-12"),
        ("last weekend", "2024-05-11..2024-05-12"),
        ("next month", "2024-06-01..2024-06-30"),
        ("this year", "2024-01-01..2024-12-31"),
        ("on Monday", "2024-05-13..2024-05-13"),
        ("last Wednesday", "2024-05-08..2024-05-08"),
        ("next wednesday", "2024-05-22..2024-05-22"),
        ("three days ago", "2024-05-12..2024-05-12"),
        ("a couple of months ago", "2024-03-01..2024-03-31"),
        ("5 months ago", "2023-12-01..2023-12-31"),
        ("10 years ago", "2014-01-01..2014-12-31"),
    ] {
        assert_eq!(names(text), [expected], "{text}");
    }
    assert!(named("yesterday and last week", None).is_empty());
}

#[test]
fn what_only_looks_like_a_date_is_none() {
    for text in [
        "you may go",
        "they march on",
        "mar the paint",
        "room 12",
        "call 555 2024 99 or 20245",
        "0 May 99999",
        "May 32",
        "31 of them",
        "99999999999 weeks ago",
        "2024-13-40x",
        "ago",
        "last",
        "",
    ] {
        let found = names(text);
        assert!(
            found.iter().all(|name| name.starts_with("2024-01-01") || name == "--5"),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn a_text_is_about_time_or_not() {
    for text in [
        "we met recently",
        "for two weeks",
        "last night",
        "since forever",
        "on Tuesday",
        "in a couple of days",
    ] {
        assert!(is_about_time(text), "{text}");
    }
    for text in ["the key is under the pot", "a day's work? no: a work of art", "weeks"] {
        assert_eq!(is_about_time(text), text.contains("a day"), "{text}");
    }
}

#[test]
fn spans_share_days() {
    let may = Days::month(2024, 5).unwrap();
    assert_eq!((may.count(), Days::year(2024).unwrap().count()), (31, 366));
    assert_eq!(may.shared(Days { first: day("2024-04-20"), last: day("2024-05-02") }), 2);
    assert_eq!(may.shared(Days::one(day("2024-06-01"))), 0);
    assert_eq!(Days::month(2024, 12).unwrap().last, day("2024-12-31"));
}
