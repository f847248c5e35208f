//! A cursor over raw text that only ever moves over what it recognised.

/// The part of the raw text that is still unread.
#[derive(Clone, Copy)]
pub(super) struct Scan<'a>(&'a str);

impl<'a> Scan<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// True when everything was read.
    pub(super) fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    /// What is unread.
    pub(super) fn rest(&self) -> &'a str {
        self.0
    }

    /// Exactly `count` ASCII digits as a number; at most nine, so that it always fits.
    pub(super) fn digits(&mut self, count: usize) -> Option<u32> {
        let (number, rest) = self.0.as_bytes().split_at_checked(count)?;
        debug_assert!(count <= 9, "ten digits do not fit a u32");
        let mut sum = 0u32;
        for byte in number {
            if !byte.is_ascii_digit() {
                return None;
            }
            sum = sum * 10 + u32::from(byte - b'0');
        }
        self.0 = self.0.get(self.0.len() - rest.len()..)?;
        Some(sum)
    }

    /// How many ASCII digits come next, counted up to `most`.
    pub(super) fn run(&self, most: usize) -> usize {
        self.0.bytes().take(most).take_while(u8::is_ascii_digit).count()
    }

    /// One or two digits.
    pub(super) fn short(&mut self) -> Option<u32> {
        self.digits(self.run(2).max(1))
    }

    /// One to nine digits after a decimal point, as billionths.
    pub(super) fn billionths(&mut self) -> Option<u32> {
        let count = self.run(9).max(1);
        let digits = self.digits(count)?;
        Some(digits * 10u32.pow(9 - u32::try_from(count).ok()?))
    }

    /// Moves over this character if it comes next.
    pub(super) fn take(&mut self, wanted: char) -> bool {
        match self.0.strip_prefix(wanted) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    /// Moves over `count` bytes if they are there and end at a character.
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a str> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }
}

/// Appends `number` with at least `width` digits.
pub(super) fn push_padded(out: &mut String, number: u32, width: usize) {
    let mut digits = [b'0'; 10];
    let mut left = number;
    let mut used = 0;
    for place in digits.iter_mut().rev() {
        if left == 0 {
            break;
        }
        *place = b'0' + u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
        used += 1;
    }
    let shown = used.max(width).min(digits.len());
    out.extend(digits.iter().skip(digits.len() - shown).map(|byte| char::from(*byte)));
}
