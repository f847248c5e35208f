//! Bytes of the stream, without a server.

use super::super::{
    oversize::Condenser,
    pgoutput::{self, Datum, Message},
    position::{Lsn, Position},
    slot::{Course, Gap, Slot, course, tests as made},
};

fn insert(values: &[Option<&[u8]>]) -> Vec<u8> {
    let mut bytes = b"I\0\0\0\x07N".to_vec();
    bytes.extend(u16::try_from(values.len()).unwrap().to_be_bytes());
    for value in values {
        match value {
            None => bytes.push(b'n'),
            Some(text) => {
                bytes.push(b't');
                bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
                bytes.extend(*text);
            }
        }
    }
    bytes
}

#[test]
fn a_message_that_breaks_off_or_goes_on_is_none() {
    let whole = insert(&[Some(b"one"), None, Some(b"")]);
    let Some(Message::Insert { relation: 7, after }) = pgoutput::read(&whole) else { panic!() };
    let values: Vec<Datum<'_>> = after.values().collect();
    assert_eq!(values, [Datum::Text(b"one"), Datum::Null, Datum::Text(b"")]);
    for length in 0..whole.len() {
        assert_eq!(pgoutput::read(&whole[..length]), None, "{length} bytes");
    }
    let mut more = whole.clone();
    more.push(0);
    assert_eq!(pgoutput::read(&more), None);
    // A length that no memory has, and a binary value.
    for tuple in
        [&b"I\0\0\0\x07N\0\x01t\xff\xff\xff\xff"[..], b"I\0\0\0\x07N\0\x01b\0\0\0\0", b"I\0\0\0\x07N\xff\xff"]
    {
        assert_eq!(pgoutput::read(tuple), None);
    }
}

#[test]
fn a_row_that_is_too_large_is_made_smaller_whatever_pieces_it_comes_in() {
    let long = vec![b'x'; 9 << 20];
    let whole = insert(&[Some(b"key"), Some(&long), None, Some(b"end")]);
    for piece in [1_usize << 12, 70_001, 1 << 22] {
        let mut condenser = Condenser::new(whole.len());
        let mut held: Vec<u8> = Vec::new();
        for bytes in whole.chunks(piece) {
            held.extend(bytes);
            let used = condenser.feed(&held);
            held.drain(..used);
            assert!(held.len() < 8, "{} bytes are held", held.len());
        }
        assert!(condenser.is_done());
        let small = condenser.into_message().unwrap();
        assert!(small.len() < 100);
        let Some(Message::Insert { after, .. }) = pgoutput::read(&small) else { panic!() };
        let values: Vec<Datum<'_>> = after.values().collect();
        assert_eq!(values, [Datum::Text(b"key"), Datum::TooLong, Datum::Null, Datum::Text(b"end")]);
    }
    // What breaks off ends, and is refused.
    let mut broken = Condenser::new(8);
    assert_eq!(broken.feed(b"I\0\0\0\x07N\0\x05"), 8);
    assert!(broken.is_done());
    let mut broken = Condenser::new(3);
    assert_eq!(broken.feed(b"I\0\0"), 3);
    assert!(broken.is_done() && broken.into_message().is_none());
}

#[test]
fn what_is_kept_and_what_the_server_has_belong_together_or_not() {
    let server = made::server("7", 100);
    let kept = |lsn: u64| Position {
        system: "7".into(),
        timeline: "1".into(),
        slot: "s".into(),
        lsn: Lsn(lsn),
        columns: Vec::new(),
        reading: None,
    };
    let slot = |confirmed: u64| made::slot("pgoutput", confirmed, false);
    let check = |kept: Option<&Position>, slot: Option<&Slot>| course(kept, slot, &server, "s");
    assert_eq!(check(None, None), Ok(Course::Make));
    assert!(matches!(check(None, Some(&slot(5))), Err(Gap::Stranger { .. })));
    assert_eq!(check(Some(&kept(0)), None), Ok(Course::Make));
    assert_eq!(check(Some(&kept(0)), Some(&slot(5))), Ok(Course::MakeAgain));
    assert_eq!(check(Some(&kept(50)), Some(&slot(50))), Ok(Course::Go));
    assert_eq!(check(Some(&kept(50)), Some(&slot(40))), Ok(Course::Go));
    assert!(matches!(check(Some(&kept(50)), Some(&slot(51))), Err(Gap::Advanced { .. })));
    assert!(matches!(check(Some(&kept(50)), None), Err(Gap::Gone { .. })));
    assert!(matches!(check(Some(&kept(101)), Some(&slot(50))), Err(Gap::SetBack { .. })));
    let lost = made::slot("pgoutput", 50, true);
    assert!(matches!(check(Some(&kept(50)), Some(&lost)), Err(Gap::Lost { .. })));
    let foreign = made::slot("test_decoding", 50, false);
    assert!(matches!(check(Some(&kept(50)), Some(&foreign)), Err(Gap::Foreign { .. })));
    let other = Position { system: "8".into(), ..kept(50) };
    assert!(matches!(check(Some(&other), Some(&slot(50))), Err(Gap::OtherServer { .. })));
}
