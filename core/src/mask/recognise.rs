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

use std::{ops::Range, sync::LazyLock};

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

/// One set for the process: the patterns are the same for every mapping.
static SHARED: LazyLock<Option<Recognisers>> = LazyLock::new(Recognisers::new);

impl Recognisers {
    /// The recognisers. `None` can not happen with these patterns (a test needs them); callers then send nothing.
    pub(super) fn shared() -> Option<&'static Self> {
        SHARED.as_ref()
    }

    fn new() -> Option<Self> {
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
const IBANS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 \
    EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 \
    IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 \
    NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 \
    SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20";

/// Bytes of the IBAN that the text starts with.
fn iban(text: &str) -> Option<usize> {
    let country = text.get(..2)?;
    let listed = |it: &&str| it.get(..2).is_some_and(|name| name.eq_ignore_ascii_case(country));
    let wanted: usize = IBANS.split_ascii_whitespace().find(listed)?.get(2..)?.parse().ok()?;
    let mut letters = Vec::with_capacity(wanted);
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
        if letters.len() == wanted {
            break;
        }
    }
    let ends = text.as_bytes().get(used).is_none_or(|next| !next.is_ascii_alphanumeric());
    if letters.len() != wanted || !ends {
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
