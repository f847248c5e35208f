//! Promises about what is sent.

use std::sync::Arc;

use bytes::Bytes;
use vestibule_core::{
    fault::{FaultCode, Recovery},
    finding::Outcome,
    job::{Delivery, Job, JobId, JobState, Place, Purpose, ReplyBody, ReturnAddress},
    ports::Parcel,
};

use super::{Broken, Kept, World, expect, same, seen, texts};
use crate::fixtures;

/// A finished job of a message of this name.
fn job(message: &str, state: JobState, place: &Place) -> Job {
    let mut document = fixtures::document(Some(message), b"<Claim>\xE4</Claim>");
    document.attributes = vec![vestibule_core::document::Attribute {
        kind: vestibule_core::document::AttributeKind::Header,
        name: "x-tenant".into(),
        value: "north".into(),
    }];
    Job {
        id: JobId::fresh(),
        flow: "claims".into(),
        document,
        state,
        accepted: fixtures::moment(),
        changed: fixtures::moment(),
        order: None,
        return_to: Some(ReturnAddress {
            reply: Some(place.clone()),
            dead_letter: Some(place.clone()),
            message: Some(message.into()),
            correlation: Some(format!("corr-{message}").into()),
        }),
        delivery: Delivery::Nothing,
        decisions: Vec::new(),
    }
}

fn parcel(job: Job, purpose: Purpose, place: &Place) -> Parcel {
    Parcel { purpose, place: place.clone(), job: Arc::new(job) }
}

fn answer(message: &str, place: &Place) -> Parcel {
    let state = JobState::Answered { reply: fixtures::reply(message.as_bytes()) };
    parcel(job(message, state, place), Purpose::Result, place)
}

async fn delivered(world: &Arc<dyn World>, parcels: &[Parcel]) -> Kept {
    let results = world.returner().hand_back(parcels).await;
    same(results.len(), parcels.len(), "one result for each")?;
    for result in results {
        result?;
    }
    Ok(())
}

pub(super) async fn results_arrive_in_their_order(world: Arc<dyn World>) -> Kept {
    let place = world.place();
    let parcels: Vec<_> = (0..1200).map(|it| answer(&format!("m{it}"), &place)).collect();
    delivered(&world, &parcels).await?;
    let arrived = seen(|| world.arrived(), 1200).await?;
    let expected: Vec<String> = (0..1200).map(|it| format!("m{it}")).collect();
    same(texts(&arrived), expected, "what arrives")
}

pub(super) async fn a_result_has_the_same_name_each_time(world: Arc<dyn World>) -> Kept {
    let place = world.place();
    let one = answer("m1", &place);
    delivered(&world, std::slice::from_ref(&one)).await?;
    delivered(&world, std::slice::from_ref(&one)).await?;
    let arrived = seen(|| world.arrived(), 2).await?;
    same(arrived.len(), 2, "how many arrive")?;
    for letter in &arrived {
        same(letter.id.as_deref(), Some("m1"), "its name")?;
        same(letter.correlation.as_deref(), Some("corr-m1"), "what it is correlated by")?;
        let ticket = letter.headers.get("x-vestibule-ticket");
        same(ticket, Some(&one.job.id.to_string()), "its ticket")?;
        same(letter.headers.get("x-vestibule-outcome").map(String::as_str), Some("pass"), "its outcome")?;
        let said = letter.content_type.as_deref().unwrap_or_default();
        expect(said.starts_with("text/xml"), "its media type")?;
    }
    Ok(())
}

pub(super) async fn what_reaches_nobody_may_be_tried_again_and_the_others_arrive(
    world: Arc<dyn World>,
) -> Kept {
    let (place, nowhere) = (world.place(), world.nowhere());
    let is_lost = |it: &usize| it % 83 == 5 || *it == 999;
    let to = |it: usize| answer(&format!("m{it}"), if is_lost(&it) { &nowhere } else { &place });
    let parcels: Vec<_> = (0..1000).map(to).collect();
    let results = world.returner().hand_back(&parcels).await;
    same(results.len(), 1000, "one result for each")?;
    for (at, result) in results.into_iter().enumerate() {
        match result {
            Ok(()) if is_lost(&at) => return Err(Broken(format!("m{at} went nowhere and counts as sent"))),
            Err(fault) if is_lost(&at) => {
                same(fault.code, FaultCode::Undeliverable, "the fault's code")?;
                let again = matches!(fault.recovery, Recovery::Retry | Recovery::RetryAfter(_));
                expect(again, "what reaches nobody may be tried again")?;
            }
            Ok(()) => {}
            Err(fault) => return Err(Broken(format!("m{at} arrives and counts as lost: {fault}"))),
        }
    }
    let expected: Vec<_> = (0..1000).filter(|it| !is_lost(it)).map(|it| format!("m{it}")).collect();
    let arrived = seen(|| world.arrived(), expected.len()).await?;
    same(texts(&arrived), expected, "what arrives")
}

pub(super) async fn a_refusal_says_why(world: Arc<dyn World>) -> Kept {
    let place = world.place();
    let mut refused = fixtures::reply(b"");
    refused.outcome = Outcome::Reject;
    refused.body = ReplyBody::Refused;
    let findings = refused.findings.clone();
    let dead =
        JobState::Dead { cause: "V001: the document is not well-formed".into(), findings: findings.clone() };
    let parcels = [
        parcel(job("m1", JobState::Answered { reply: refused }, &place), Purpose::Result, &place),
        parcel(job("m2", dead, &place), Purpose::Result, &place),
    ];
    delivered(&world, &parcels).await?;
    let arrived = seen(|| world.arrived(), 2).await?;
    let faults: Vec<_> = arrived
        .iter()
        .map(|it| it.headers.get("x-vestibule-fault").map(String::as_str).unwrap_or_default())
        .collect();
    same(faults, vec!["V005", "V001"], "the faults")?;
    let expected = serde_json::to_value(&findings).map_err(|it| Broken(it.to_string()))?;
    for letter in &arrived {
        let found = letter.headers.get("x-vestibule-findings").map(String::as_str).unwrap_or_default();
        let found = serde_json::from_str(found).unwrap_or_default();
        same(&found, &expected, "the findings")?;
    }
    Ok(())
}

pub(super) async fn a_dead_letter_is_the_document_with_its_findings(world: Arc<dyn World>) -> Kept {
    let place = world.place();
    let findings = fixtures::reply(b"").findings;
    let state = JobState::Dead { cause: "V009: no usable answer".into(), findings };
    delivered(&world, &[parcel(job("m1", state, &place), Purpose::DeadLetter, &place)]).await?;
    let arrived = seen(|| world.arrived(), 1).await?;
    let [letter] = arrived.as_slice() else { return Err(Broken(format!("one arrives: {arrived:?}"))) };
    same(Bytes::from(letter.body.clone()), Bytes::from_static(b"<Claim>\xE4</Claim>"), "its body")?;
    same(letter.id.as_deref(), Some("m1"), "its name")?;
    same(letter.content_type.as_deref(), Some("text/xml; charset=iso-8859-1"), "its content type")?;
    let header = |name: &str| letter.headers.get(name).map(String::as_str);
    same(header("x-tenant"), Some("north"), "the sender's header")?;
    same(header("x-vestibule-fault"), Some("V009"), "the fault")?;
    expect(header("x-vestibule-findings").is_some_and(|it| it.contains("G105")), "the findings")
}
