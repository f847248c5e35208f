//! Recognisers of what identifies a person in free text. Every one is linear in the text.
//!
//! | what | how sure |
//! |---|---|
//! | e-mail | anything of the form `name@host.tld` |
//! | IBAN | country, its length, and the ISO 7064 mod-97 check; with or without single blanks |
//! | payment card | 13 to 19 digits in groups, an issuer's first digit, and the Luhn check |
//! | phone | `+` or `00` and 8 to 15 digits; national numbers written in groups; never a date |
//! | IPv4 | four numbers up to 255; a four-part version number looks the same |
//!
//! A phone number without separators or prefix is not told from an order number, and stays.

use std::ops::Range;

use regex::Regex;

use super::stand_in::Span;

/// The compiled recognisers.
#[derive(Debug, Clone)]
pub(super) struct Recognisers {
    email: Regex,
    iban: Regex,
    digits: Regex,
    phone: Regex,
    address: Regex,
}

impl Recognisers {
    /// `None` can not happen with these patterns (a test compiles them); callers then send nothing.
    pub(super) fn new() -> Option<Self> {
        let phone = [
            r"(?:\+|\b00)[1-9][0-9]{0,2}(?:[ ./-]?\(?[0-9]{1,5}\)?){2,7}",
            r"\b0[0-9]{1,4}(?:[ ./-][0-9]{2,8}){1,4}\b",
            r"\([0-9]{2,5}\) ?[0-9]{3,4}[ .-][0-9]{3,4}\b",
            r"\b[0-9]{3}[.-][0-9]{3}[.-][0-9]{4}\b",
            r"\b[6-9][0-9]{2}[ -][0-9]{3}[ -][0-9]{3}\b",
        ];
        Some(Self {
            email: Regex::new(r"[\w.%+\-]+@[\w\-]+(?:\.[\w\-]+)+").ok()?,
            iban: Regex::new(r"(?i)\b[A-Z]{2}[0-9]{2}").ok()?,
            digits: Regex::new(r"[0-9](?:[ -]?[0-9]){12,}").ok()?,
            phone: Regex::new(&phone.join("|")).ok()?,
            address: Regex::new(r"\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b").ok()?,
        })
    }

    /// All places; they may overlap.
    pub(super) fn find(&self, text: &str) -> Vec<Span> {
        let mut spans = Vec::new();
        let mut add = |at: Range<usize>, label: &'static str| spans.push(Span { at, label: label.into() });
        self.email.find_iter(text).for_each(|hit| add(hit.range(), "EMAIL"));
        for hit in self.iban.find_iter(text) {
            if let Some(length) = text.get(hit.start()..).and_then(iban) {
                add(hit.start()..hit.start() + length, "IBAN");
            }
        }
        for hit in self.digits.find_iter(text) {
            for card in cards(hit.as_str()) {
                add(hit.start() + card.start..hit.start() + card.end, "CARD");
            }
        }
        self.phone
            .find_iter(text)
            .filter(|hit| is_phone(hit.as_str()))
            .for_each(|hit| add(hit.range(), "PHONE"));
        for hit in self.address.find_iter(text) {
            if hit.as_str().split('.').all(|part| part.parse::<u8>().is_ok()) {
                add(hit.range(), "IP");
            }
        }
        spans
    }
}

/// Lengths of IBANs by country (registry of ISO 13616).
const IBANS: [(&str, usize); 88] = [
    ("AD", 24),
    ("AE", 23),
    ("AL", 28),
    ("AT", 20),
    ("AZ", 28),
    ("BA", 20),
    ("BE", 16),
    ("BG", 22),
    ("BH", 22),
    ("BI", 27),
    ("BR", 29),
    ("BY", 28),
    ("CH", 21),
    ("CR", 22),
    ("CY", 28),
    ("CZ", 24),
    ("DE", 22),
    ("DJ", 27),
    ("DK", 18),
    ("DO", 28),
    ("EE", 20),
    ("EG", 29),
    ("ES", 24),
    ("FI", 18),
    ("FK", 18),
    ("FO", 18),
    ("FR", 27),
    ("GB", 22),
    ("GE", 22),
    ("GI", 23),
    ("GL", 18),
    ("GR", 27),
    ("GT", 28),
    ("HN", 28),
    ("HR", 21),
    ("HU", 28),
    ("IE", 22),
    ("IL", 23),
    ("IQ", 23),
    ("IS", 26),
    ("IT", 27),
    ("JO", 30),
    ("KW", 30),
    ("KZ", 20),
    ("LB", 28),
    ("LC", 32),
    ("LI", 21),
    ("LT", 20),
    ("LU", 20),
    ("LV", 21),
    ("LY", 25),
    ("MC", 27),
    ("MD", 24),
    ("ME", 22),
    ("MK", 19),
    ("MN", 20),
    ("MR", 27),
    ("MT", 31),
    ("MU", 30),
    ("NI", 28),
    ("NL", 18),
    ("NO", 15),
    ("OM", 23),
    ("PK", 24),
    ("PL", 28),
    ("PS", 29),
    ("PT", 25),
    ("QA", 29),
    ("RO", 24),
    ("RS", 22),
    ("RU", 33),
    ("SA", 24),
    ("SC", 31),
    ("SD", 18),
    ("SE", 24),
    ("SI", 19),
    ("SK", 24),
    ("SM", 27),
    ("SO", 23),
    ("ST", 25),
    ("SV", 28),
    ("TL", 23),
    ("TN", 24),
    ("TR", 26),
    ("UA", 29),
    ("VA", 22),
    ("VG", 24),
    ("XK", 20),
];

/// Bytes of the IBAN that the text starts with.
fn iban(text: &str) -> Option<usize> {
    let country = text.get(..2)?;
    let (_, wanted) = IBANS.iter().find(|(name, _)| name.eq_ignore_ascii_case(country))?;
    let mut letters = Vec::with_capacity(*wanted);
    let mut used = 0;
    let mut blank = true;
    for byte in text.bytes() {
        match byte {
            b' ' if !blank => blank = true,
            _ if byte.is_ascii_alphanumeric() => {
                letters.push(byte);
                blank = false;
            }
            _ => break,
        }
        used += 1;
        if letters.len() == *wanted {
            break;
        }
    }
    let ends = text.as_bytes().get(used).is_none_or(|next| !next.is_ascii_alphanumeric());
    if letters.len() != *wanted || !ends {
        return None;
    }
    let (head, tail) = letters.split_at_checked(4)?;
    let rest = tail.iter().chain(head).fold(0u32, |rest, byte| match char::from(*byte).to_digit(36) {
        Some(digit) if digit > 9 => (rest * 100 + digit) % 97,
        digit => (rest * 10 + digit.unwrap_or(0)) % 97,
    });
    (rest == 1).then_some(used)
}

/// Payment cards in a run of digits with single separators. Only whole groups count, and each start is tried with the
/// seven lengths that cards have: linear in the run.
fn cards(run: &str) -> Vec<Range<usize>> {
    let digits: Vec<(usize, u32)> =
        run.char_indices().filter_map(|(at, letter)| Some((at, letter.to_digit(10)?))).collect();
    let mut found: Vec<Range<usize>> = Vec::new();
    for (place, (at, first)) in digits.iter().enumerate() {
        let starts = place == 0 || digits.get(place - 1).is_some_and(|(before, _)| before + 1 < *at);
        if !starts || !(2..=6).contains(first) || found.last().is_some_and(|last| *at < last.end) {
            continue;
        }
        let card = (13..=19).rev().find_map(|count| {
            let card = digits.get(place..place + count)?;
            let end = card.last()?.0 + 1;
            let ends = digits.get(place + count).is_none_or(|(next, _)| *next > end);
            (ends && luhn(card.iter().map(|(_, digit)| *digit))).then_some(*at..end)
        });
        found.extend(card);
    }
    found
}

fn luhn(digits: impl DoubleEndedIterator<Item = u32>) -> bool {
    let sum: u32 = digits
        .rev()
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => digit,
            _ if digit > 4 => digit * 2 - 9,
            _ => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Eight to fifteen digits, and not the shape of a date (`01.02.2026`).
fn is_phone(text: &str) -> bool {
    let count = text.bytes().filter(u8::is_ascii_digit).count();
    let parts: Vec<usize> = text.split(['.', '-', '/', ' ']).map(str::len).collect();
    (8..=15).contains(&count) && parts != [2, 2, 4]
}
