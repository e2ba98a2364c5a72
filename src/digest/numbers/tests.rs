//! What counts as one of our numbers, and what somebody might try.

use super::*;

fn known() -> Known {
    let day = |day| NaiveDate::from_ymd_opt(2026, 11, day).expect("a day");
    Known {
        counts: [0, 1, 3, 5, 7, 12, 23, 42, 105].into(),
        customers: [1, 3, 5].into(),
        pieces: [5, 7, 12, 23, 42, 105].into(),
        ups: [4].into(),
        downs: [3].into(),
        money: vec![1_234_567.0, 1_200_000.0, 84_000.0, 9_500.0, 2_000_000.0],
        shares: [12, 40].into(),
        days: [day(16), day(22), day(18)].into(),
        week: Some(47),
        ranks: 3,
        phrases: ["OAuth 2.0 fails".to_owned(), "Lumen Example".to_owned(), "It took 3 days, twice.".to_owned()].into(),
        tokens: ["2026-w47".to_owned(), "fb-7k3q9x".to_owned(), "2026-11-18".to_owned()].into(),
    }
}

#[test]
fn our_numbers_may_be_written_in_any_way() {
    for text in [
        "12 pieces from 5 customers.",
        "Twelve pieces from five customers, one hundred and five in all, twenty-three of them open.",
        "A dozen pieces.",
        "1,234,567 ARR, or €1.2M, or 1.2 million, or $1,200,000, or 1.200.000 €, or 1 200 000, or EUR 1.2m.",
        "1\u{202F}234\u{202F}567 in revenue; 84k; 84,000; 84 thousand; 9,500; two million.",
        "12% of the voice; 40 percent of revenue; 12 per cent; forty percent.",
        "Up 4, which is 4 more than before; 3 fewer elsewhere, down by 3; +4 and -3.",
        "It rose from 3 to 7.",
        "The first, the second and the third theme; the 3rd.",
        "From 16 to 22 November 2026; 16–22 November; November 18; 18th of November; Nov 16; 2026-11-18.",
        "In week 47 of 2026 (2026-W47), item FB-7K3Q9X.",
        "**12** pieces on “OAuth 2.0 fails” by Lumen Example: “It took 3 days, twice.”",
        "1. Twelve pieces\n2. Five customers\n3. No one else, and one of them may leave.",
        "We may decide; march on.",
        "3 of 5 customers; 5-7 pieces; a 3-customer theme.",
        "No numbers at all, and nothing is refused.",
        "",
    ] {
        assert_eq!(check(text, &known()), Ok(()), "{text}");
    }
}

#[test]
fn a_number_that_is_not_ours_is_refused_however_it_is_written() {
    for text in [
        "13 pieces.",
        "12 customers",
        "Twelve angry customers",
        "3 pieces",
        "forty-two accounts",
        "thirteen pieces",
        "Twenty-four pieces",
        "one hundred and six",
        "two pieces",
        "a hundred customers",
        "hundreds of customers, dozens of pieces",
        "Twice as many as before.",
        "It doubled.",
        "Feedback has more than tripled.",
        "a threefold rise",
        "3x as much",
        "3 times as much",
        "three times as many",
        "Half of them left.",
        "a third of customers",
        "one-third of customers",
        "two thirds",
        "1/3 of customers",
        "¼ of customers",
        "three quarters",
        "a quarter of revenue",
        "the majority of customers",
        "Most customers are unhappy.",
        "a couple of accounts",
        "13%",
        "42% of revenue",
        "12 and 13 percent",
        "fifty percent",
        "0.12",
        "€1.3M",
        "€1.23M",
        "1.25 million",
        "$12",
        "12 euros",
        "USD 42",
        "84M",
        "84",
        "9.5",
        "up 3",
        "down 4",
        "3 more than before",
        "4 fewer",
        "+3",
        "-4",
        "rose by 12",
        "the 4th theme",
        "the twentieth theme",
        "17 November",
        "November 19th",
        "16 December",
        "in October",
        "22 November 2025",
        "16 to 23 November",
        "2026-11-17",
        "in 2025",
        "on Tuesday",
        "in Q4",
        "week 46",
        "item FB-1AAAAA",
        "v2",
        "1**3** pieces",
        "1\u{200B}3 pieces",
        "\u{0661}\u{0662} pieces",
        "１３ pieces",
        "seven hundred",
        "5-8 pieces",
        "24/7",
        "OAuth 2.1 fails",
        "It took 4 days, twice.",
        "1 200 001",
        "1,2,3",
        "12.345.6",
    ] {
        assert!(check(text, &known()).is_err(), "{text}");
    }
}

#[test]
fn a_name_that_is_a_number_hides_nothing() {
    let known = Known { phrases: ["7".to_owned(), "42 Example".to_owned()].into(), ..Known::default() };
    assert_eq!(check("42 Example wrote.", &known), Ok(()));
    assert!(check("7 pieces", &known).is_err());
    assert!(check("142 Example", &known).is_err());
}

proptest::proptest! {
    #[test]
    fn it_never_panics(text in "\\PC{0,200}") {
        let _ = check(&text, &known());
    }

    #[test]
    fn a_count_in_digits_is_ours_or_refused(count in 0_u64..3000) {
        let ours = known().pieces.contains(&count);
        proptest::prop_assert_eq!(check(&format!("We heard {count} pieces."), &known()).is_ok(), ours);
    }
}
