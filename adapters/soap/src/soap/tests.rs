use std::sync::Arc;

use bytes::Bytes;
use vestibule_core::{
    fault::{Fault, FaultCode},
    finding::Outcome,
    job::{JobId, Remark, Reply, ReplyBody},
    mapping::{
        diagnostic::Diagnostics,
        plan::{Channel, Mapping, Tickets},
    },
    ports::{
        Call, CallContext, Direction, Format, Frontend, Offered, RawField, Service, WireReply, WireRequest,
    },
};

mod tickets;

use super::*;
use crate::{
    contract::WsdlContract,
    format::XmlFormat,
    sample::{Memory, each, field, mapping, write, write_each},
    xml::{Limits, Options, Source},
};

const CLAIMS: &str = include_str!("../../../../samples/quickstart/mappings/ClaimService.wsdl");
const NS11: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const NS12: &str = "http://www.w3.org/2003/05/soap-envelope";
const CLAIM: &str = "<c:SubmitClaim xmlns:c='http://acme.example/claims/2009'><c:Claim policy='P1'><c:ClaimNo>C1</c:ClaimNo></c:Claim></c:SubmitClaim>";

fn offered(mapping: Mapping) -> Offered {
    let channel = mapping.receive[0].clone();
    Offered { mapping: Arc::new(mapping), channel, flow: 7 }
}

fn service_of(flows: Vec<Mapping>) -> Result<Arc<dyn Service>, String> {
    let mut diagnostics = Diagnostics::default();
    let flows = flows.into_iter().map(offered).collect();
    let service =
        SoapFrontend::default().service("ClaimService", flows, &Memory::default(), &mut diagnostics);
    service.ok_or_else(|| diagnostics.all.iter().map(|it| it.title.clone()).collect::<Vec<_>>().join("; "))
}

fn claims() -> Mapping {
    let contract = WsdlContract::read("c.wsdl", &Memory::of(&[("c.wsdl", CLAIMS)])).unwrap();
    let channel = [("service", "ClaimService"), ("operation", "SubmitClaim")];
    let fields = vec![field("claim_no", "Claim/ClaimNo"), field("policy", "Claim/@policy")];
    let back = ("SubmitClaimResponse", vec![write("Result/StatusCd")]);
    mapping("claims", &channel, Some(Arc::new(contract)), fields, Some(back))
}

fn service() -> Arc<dyn Service> {
    service_of(vec![claims()]).unwrap()
}

fn request(content_type: Option<&str>, action: Option<&str>, body: impl Into<Bytes>) -> WireRequest {
    WireRequest {
        content_type: content_type.map(Into::into),
        action: action.map(Into::into),
        body: body.into(),
        received: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn envelope(namespace: &str, header: &str, body: &str) -> String {
    format!("<e:Envelope xmlns:e='{namespace}'>{header}<e:Body>{body}</e:Body></e:Envelope>")
}

fn text(reply: &WireReply) -> String {
    let text = String::from_utf8(reply.body.to_vec()).unwrap();
    // Whatever goes out is well-formed.
    Source::of(&text)
        .parse(&Limits::default(), Options::default())
        .map(drop)
        .unwrap_or_else(|it| panic!("{it}: {text}"));
    text
}

fn accept(request: &WireRequest) -> Result<Call, (u16, String, String)> {
    service()
        .accept(request)
        .map(|it| it.call().unwrap())
        .map_err(|it| (it.status, it.content_type.to_string(), text(&it)))
}

#[test]
fn good_messages_are_read() {
    let wide = envelope(NS11, "", CLAIM).encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    for (content_type, body) in [
        (Some("text/xml; charset=utf-8"), envelope(NS11, "", CLAIM).into_bytes()),
        (Some("text/xml"), envelope(NS11, "<e:Header/>", &format!("\n {CLAIM} \n")).into_bytes()),
        (None, envelope(NS11, "", CLAIM).into_bytes()),
        (Some("application/soap+xml;charset=utf-8;action=\"x\""), envelope(NS12, "", CLAIM).into_bytes()),
        (Some("text/xml"), envelope(NS12, "", CLAIM).into_bytes()),
        (Some("application/xml"), format!("\u{FEFF}<?xml version='1.0'?>\n<!-- c -->{}\n", envelope(NS11, "", CLAIM)).into_bytes()),
        (Some("text/xml; charset=utf-16le"), wide),
        (
            Some("text/xml"),
            envelope(NS11, "<e:Header><x:H xmlns:x='u' e:mustUnderstand='0'/><x:H xmlns:x='u' e:mustUnderstand='1' e:actor='urn:other'/></e:Header>", CLAIM).into_bytes(),
        ),
    ] {
        let body = Bytes::from(body);
        let call = accept(&request(content_type, None, body.clone())).unwrap_or_else(|it| panic!("{content_type:?}: {it:?}"));
        assert_eq!(call.flow, 7);
        assert_eq!(call.document.bytes, body);
        assert_eq!(&*call.context.operation, "SubmitClaim");
        let RawField::Text { text, origin } = &call.extraction.records[0].fields[0] else { panic!("absent") };
        assert_eq!(&**text, "C1");
        assert_eq!(origin.xpath().as_deref(), Some("/Envelope/Body/SubmitClaim/Claim/ClaimNo"));
        assert!(call.extraction.payload.is_some());
    }
}

#[test]
fn a_message_is_read_the_same_after_a_restart() {
    let mut mapping = claims();
    mapping.source.encoding = Some("windows-1252".into());
    let extractor = XmlFormat::default().extractor(&mapping).unwrap();
    let service = service_of(vec![mapping]).unwrap();
    let claim = CLAIM.replace("C1", "é1");
    let message = envelope(NS11, "", &claim);
    for (content_type, body) in [
        ("text/xml", message.clone().into_bytes()),
        ("text/xml; charset=utf-8", message.clone().into_bytes()),
        ("text/xml; charset=\"\"", message.clone().into_bytes()),
        ("text/xml", format!("\u{FEFF}{message}").into_bytes()),
        ("text/xml", message.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        (
            "text/xml",
            format!("<?xml version='1.0' encoding='iso-8859-1'?>{message}")
                .replace('é', "&#233;")
                .into_bytes(),
        ),
    ] {
        let call = service
            .accept(&request(Some(content_type), None, body))
            .map_err(|it| text(&it))
            .unwrap()
            .call()
            .unwrap();
        let again = extractor.extract(&call.document).unwrap();
        assert_eq!(again.payload, call.extraction.payload, "{content_type}");
        let RawField::Text { text, .. } = &again.records[0].fields[0] else { panic!("absent") };
        assert_eq!(&**text, "é1", "{content_type}");
    }
}

#[test]
fn the_payload_alone_is_hashed_and_the_message_id_is_the_key() {
    let header = |id: &str| {
        format!(
            "<e:Header><a:MessageID xmlns:a='http://www.w3.org/2005/08/addressing' e:mustUnderstand='1'> {id} </a:MessageID></e:Header>"
        )
    };
    let one = accept(&request(None, None, envelope(NS12, &header("urn:1"), CLAIM))).unwrap();
    let two = accept(&request(None, None, envelope(NS12, &header("urn:2"), CLAIM))).unwrap();
    assert_eq!(one.extraction.payload, two.extraction.payload);
    assert_eq!(one.document.key.as_ref().map(|it| it.as_str()), Some("urn:1"));
    assert_eq!(two.context.message_id.as_deref(), Some("urn:2"));
    let reply = text(&service().reply(&one.context, &written("<r xmlns='u'/>"), JobId::fresh()));
    assert_eq!(
        reply,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\"><s:Header>\
         <a:RelatesTo xmlns:a=\"http://www.w3.org/2005/08/addressing\">urn:1</a:RelatesTo></s:Header><s:Body><r xmlns='u'/></s:Body></s:Envelope>"
    );
}

#[test]
fn every_message_id_makes_a_key() {
    let long = "x".repeat(300);
    let other = format!("{}y", "x".repeat(299));
    let mut keys = Vec::new();
    for id in ["urn:1", "urn:\n1", &long, &other] {
        let header = format!(
            "<e:Header><a:MessageID xmlns:a='http://www.w3.org/2005/08/addressing'>{id}</a:MessageID></e:Header>"
        );
        let call = accept(&request(None, None, envelope(NS11, &header, CLAIM))).unwrap();
        let key = call.document.key.map(|it| it.as_str().to_owned());
        assert!(key.is_some() && !keys.contains(&key), "input: {id:?}");
        keys.push(key);
    }
}

#[test]
fn a_message_id_that_is_not_one_key_is_refused() {
    let id =
        |id: &str| format!("<a:MessageID xmlns:a='http://www.w3.org/2005/08/addressing'>{id}</a:MessageID>");
    for (header, expected) in [
        (id("urn:1") + &id("urn:2"), "two MessageIDs"),
        (id(&"x".repeat(1025)), "a MessageID that is too long"),
    ] {
        let header = format!("<e:Header>{header}</e:Header>");
        let refused = accept(&request(None, None, envelope(NS11, &header, CLAIM))).map(drop).unwrap_err();
        assert!(refused.2.contains(expected), "{refused:?}");
    }
}

#[test]
fn text_in_pieces_is_a_defect_and_what_does_not_count_as_a_child_is_none() {
    for (number, defects) in [
        ("1<x/>2", vec!["G118 claim_no"]),
        ("<x/>12", vec![]),
        ("12<x>3</x>\n", vec![]),
        ("1<!-- c -->2", vec![]),
        ("1<?pi x?>2", vec![]),
        ("1<![CDATA[2]]>", vec![]),
        ("&#49;<!-- c -->&#50;", vec![]),
        ("&#49;<x/>&#50;", vec!["G118 claim_no"]),
        ("1<x/><![CDATA[2]]>", vec!["G118 claim_no"]),
    ] {
        let claim = CLAIM.replace("C1", number);
        let call = accept(&request(None, None, envelope(NS11, "", &claim))).unwrap();
        let found: Vec<_> =
            call.extraction.defects.iter().map(|it| format!("{} {}", it.check.code(), it.field)).collect();
        assert_eq!(found, defects, "input: {number}");
        let RawField::Text { text, .. } = &call.extraction.records[0].fields[0] else { panic!("absent") };
        assert_eq!(&**text, "12", "input: {number}");
    }
}

#[test]
fn messages_that_can_not_be_served_get_a_fault_in_their_version() {
    let must = "<e:Header><w:Security xmlns:w='urn:wss' e:mustUnderstand='1'/></e:Header>";
    for (content_type, body, status, code) in [
        ("text/xml", "<".to_owned(), 500, "s:Client"),
        ("application/soap+xml", "<".to_owned(), 400, "s:Sender"),
        ("text/xml", format!("<!DOCTYPE a>{}", envelope(NS11, "", CLAIM)), 500, "a DOCTYPE is not accepted"),
        ("text/xml", envelope(NS12, "", "<a>"), 400, "s:Sender"),
        ("text/xml", CLAIM.to_owned(), 500, "not a SOAP Envelope"),
        ("text/xml", envelope("urn:soap", "", CLAIM), 500, "s:VersionMismatch"),
        ("application/soap+xml", envelope("urn:soap", "", CLAIM), 500, "s:SupportedEnvelope"),
        ("text/xml", envelope(NS11, must, CLAIM), 500, "s:MustUnderstand"),
        ("text/xml", envelope(NS11, must, CLAIM), 500, "header `Security` must be understood"),
        (
            "application/soap+xml",
            envelope(NS12, &must.replace("'1'", "'true'"), CLAIM),
            500,
            "<s:NotUnderstood xmlns:h=\"urn:wss\" qname=\"h:Security\"/>",
        ),
        ("text/xml", envelope(NS11, "", ""), 500, "the Body is empty"),
        ("text/xml", envelope(NS11, "", &CLAIM.repeat(2)), 500, "more than one element in the Body"),
        ("text/xml", envelope(NS11, "", &format!("x{CLAIM}")), 500, "text in the Body"),
        ("text/xml", format!("<e:Envelope xmlns:e='{NS11}'/>"), 500, "the Envelope has no Body"),
        ("text/xml", envelope(NS11, "<x/>", CLAIM), 500, "neither Header nor Body"),
        ("text/xml", envelope(NS11, "<e:Header/><e:Header/>", CLAIM), 500, "a second Header"),
        ("text/xml", envelope(NS11, "<e:Header><x/></e:Header>", CLAIM), 500, "a header without a namespace"),
        ("text/xml", envelope(NS11, "", "<Other/>"), 500, "{http://acme.example/claims/2009}SubmitClaim"),
        ("text/xml", envelope(NS11, "", "<SubmitClaim/>"), 500, "none of this service"),
        ("text/xml; charset=klingon", envelope(NS11, "", CLAIM), 500, "character set `klingon` is not known"),
        ("application/json", "{}".to_owned(), 415, "no XML"),
        ("multipart/related", "{}".to_owned(), 415, "no XML"),
    ] {
        let Err((found, reply_type, text)) = accept(&request(Some(content_type), None, body.clone())) else {
            panic!("accepted: {body}");
        };
        assert_eq!(found, status, "input: {body}");
        assert!(text.contains(code), "input: {body}\nfault: {text}");
        assert!(
            text.contains("<v:ValidationFault xmlns:v=\"urn:vestibule:fault:1\"><v:code>V0"),
            "fault: {text}"
        );
        let is12 = text.contains(NS12) && !text.contains(NS11) || text.contains("s:Upgrade");
        let expected = if is12 { "application/soap+xml; charset=utf-8" } else { "text/xml; charset=utf-8" };
        assert_eq!(reply_type, expected, "fault: {text}");
    }
}

#[test]
fn the_action_chooses_where_the_element_does_not() {
    let own = |name: &str, operation: &str| {
        mapping(
            name,
            &[("service", "ClaimService"), ("operation", operation)],
            None,
            vec![field("a", "A")],
            None,
        )
    };
    let service = service_of(vec![own("one", "One"), own("two", "Two")]).unwrap();
    for (action, body, expected) in [
        (None, "<One/>", Some("One")),
        (Some("\"\""), "<x:Two xmlns:x='u'/>", Some("Two")),
        (Some("urn:vestibule:ClaimService/Two"), "<One/>", Some("One")),
        (Some("\"urn:vestibule:ClaimService/Two\""), "<Else/>", Some("Two")),
        (Some("Two"), "<Else/>", Some("Two")),
        (Some("Three"), "<Else/>", None),
    ] {
        let found = service
            .accept(&request(None, action, envelope(NS11, "", body)))
            .ok()
            .and_then(vestibule_core::ports::Understood::call);
        assert_eq!(
            found.map(|it| it.context.operation.to_string()).as_deref(),
            expected,
            "input: {action:?} {body}"
        );
    }
}

fn written(text: &str) -> Reply {
    Reply {
        outcome: Outcome::Pass,
        body: ReplyBody::Written {
            media_type: "application/xml".into(),
            bytes: Bytes::from(text.to_owned()),
        },
        findings: Vec::new(),
        answered_by: "".into(),
        usage: Default::default(),
        flow_version: 1,
    }
}

#[test]
fn replies_are_wrapped_in_the_callers_version() {
    for (version, content_type, namespace) in [
        ("1.1", "text/xml; charset=utf-8", NS11),
        ("1.2", "application/soap+xml; charset=utf-8", NS12),
        ("", "text/xml; charset=utf-8", NS11),
    ] {
        let context = CallContext { version: version.into(), ..CallContext::default() };
        let reply = service().reply(&context, &written("\u{FEFF}<?xml version='1.0'?><r/>"), JobId::fresh());
        assert_eq!((reply.status, &*reply.content_type), (200, content_type));
        assert_eq!(
            text(&reply),
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><s:Envelope xmlns:s=\"{namespace}\"><s:Body><r/></s:Body></s:Envelope>"
            )
        );
    }
}

#[test]
fn a_refusal_lists_every_finding() {
    let remark = Remark {
        code: "G101".into(),
        check: "required".into(),
        outcome: Outcome::Reject,
        field: "claim_no".into(),
        xpath: Some("/Envelope/Body/SubmitClaim/Claim/ClaimNo".into()),
        expected: "a value".into(),
        found: None,
        say: None,
    };
    let odd =
        Remark { found: Some("<\u{1}&>".into()), say: Some("Say".into()), xpath: None, ..remark.clone() };
    let reply = Reply {
        outcome: Outcome::Reject,
        body: ReplyBody::Refused,
        findings: vec![remark, odd],
        answered_by: "".into(),
        usage: Default::default(),
        flow_version: 1,
    };
    let ticket = JobId::fresh();
    let detail = format!(
        "<v:ValidationFault xmlns:v=\"urn:vestibule:fault:1\"><v:code>V005</v:code><v:message>the record was refused: 2 findings</v:message>\
         <v:ticket>{ticket}</v:ticket><v:finding><v:code>G101</v:code><v:field>claim_no</v:field>\
         <v:xpath>/Envelope/Body/SubmitClaim/Claim/ClaimNo</v:xpath><v:expected>a value</v:expected></v:finding>\
         <v:finding><v:code>G101</v:code><v:field>claim_no</v:field><v:expected>a value</v:expected>\
         <v:found>&lt;\u{FFFD}&amp;&gt;</v:found><v:say>Say</v:say></v:finding></v:ValidationFault>"
    );
    let old =
        service().reply(&CallContext { version: "1.1".into(), ..CallContext::default() }, &reply, ticket);
    assert_eq!(old.status, 500);
    assert_eq!(
        text(&old),
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><s:Envelope xmlns:s=\"{NS11}\"><s:Body><s:Fault><faultcode>s:Client</faultcode>\
          <faultstring>the record was refused: 2 findings</faultstring><detail>{detail}</detail></s:Fault></s:Body></s:Envelope>"
        )
    );
    let new =
        service().reply(&CallContext { version: "1.2".into(), ..CallContext::default() }, &reply, ticket);
    assert_eq!(new.status, 400);
    assert_eq!(
        text(&new),
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><s:Envelope xmlns:s=\"{NS12}\"><s:Body><s:Fault><s:Code><s:Value>s:Sender</s:Value>\
          <s:Subcode><s:Value xmlns:v=\"urn:vestibule:fault:1\">v:V005</s:Value></s:Subcode></s:Code><s:Reason>\
          <s:Text xml:lang=\"en\">the record was refused: 2 findings</s:Text></s:Reason><s:Detail>{detail}</s:Detail></s:Fault></s:Body></s:Envelope>"
        )
    );
}

#[test]
fn our_faults_are_the_servers_and_theirs_the_clients() {
    for (code, words, status, old) in [
        (FaultCode::Unavailable, "1.1", 500, "s:Server"),
        (FaultCode::Deadline, "1.2 wsa 1.0", 500, "s:Receiver"),
        (FaultCode::KeyConflict, "1.2", 400, "s:Sender"),
        (FaultCode::TooLarge, "1.1", 500, "s:Client"),
    ] {
        let context = CallContext { version: words.into(), ..CallContext::default() };
        let reply = service().fault(&context, &Fault::new(code, "words").at("1:2").because("secret"));
        let text = text(&reply);
        assert_eq!(reply.status, status);
        assert!(text.contains(old) && text.contains("words (at 1:2)") && !text.contains("secret"), "{text}");
    }
}

#[test]
fn a_contract_is_described_by_itself() {
    let mut mapping = claims();
    mapping.handling.tickets = Tickets::Never;
    let reply = service_of(vec![mapping]).unwrap().describe("http://host:1/soap/ClaimService");
    assert_eq!(
        text(&reply),
        CLAIMS.replace("http://localhost:8080/soap/ClaimService", "http://host:1/soap/ClaimService")
    );
}

fn without_contract() -> Mapping {
    let fields = vec![
        field("claim_no", "Claim/ClaimNo"),
        field("policy", "Claim/@policy"),
        field("currency", "Claim/Reserve/@cur"),
        field("reserve", "Claim/Reserve"),
        field("claimant", "Claim/Party(@role=CLM)/Name"),
        field("note", "//Remark"),
        each("lines", "Claim/Lines/Line", vec![field("kind", "Type"), field("amount", "Amt")]),
    ];
    let writes = vec![
        write("Result/ClaimNo"),
        write("Result/@at"),
        write_each("Result/Lines/Line", vec![write("Ok")]),
    ];
    mapping(
        "claims",
        &[("service", "ClaimService"), ("operation", "SubmitClaim")],
        None,
        fields,
        Some(("SubmitClaimResponse", writes)),
    )
}

#[test]
fn a_service_without_a_contract_is_described_from_its_mappings() {
    let service = service_of(vec![without_contract()]).unwrap();
    let text = text(&service.describe("http://host/soap/ClaimService?a&b"));
    if let Ok(path) = std::env::var("WRITE_WSDL") {
        std::fs::write(path, &text).unwrap();
    }
    // It is a contract of its own, and has every address of the mapping.
    let contract = WsdlContract::read("g.wsdl", &Memory::of(&[("g.wsdl", &text)])).unwrap();
    assert_eq!(vestibule_core::ports::Contract::operations(&contract), ["SubmitClaim", "GetResult"]);
    assert_eq!(
        vestibule_core::ports::Contract::reply_root(&contract, Some("SubmitClaim")).as_deref(),
        Some("SubmitClaimResponse")
    );
    for address in [
        "Claim/ClaimNo",
        "Claim/@policy",
        "Claim/Reserve/@cur",
        "Claim/Party(@role=CLM)/Name",
        "Claim/Lines/Line/Amt",
    ] {
        let found = vestibule_core::ports::Contract::check(
            &contract,
            Some("SubmitClaim"),
            vestibule_core::ports::Direction::Request,
            &[],
            &crate::sample::path(address),
        );
        assert_eq!(found, Ok(()), "address: {address}");
    }
    for address in ["Result/ClaimNo", "Result/@at", "Result/Lines/Line/Ok"] {
        let found = vestibule_core::ports::Contract::check(
            &contract,
            Some("SubmitClaim"),
            vestibule_core::ports::Direction::Reply,
            &[],
            &crate::sample::path(address),
        );
        assert_eq!(found, Ok(()), "address: {address}");
    }
}

/// A mapping without a contract that is received by these services and operations.
fn shared(channels: &[(&str, &str)]) -> Arc<Mapping> {
    let fields = vec![field("claim_no", "Claim/ClaimNo")];
    let mut mapping = mapping("desk", &[], None, fields, Some(("Done", vec![write("No")])));
    let channel = |(service, operation): &(&str, &str)| Channel {
        kind: "soap".into(),
        settings: vec![
            ("service".into(), (*service).to_owned()),
            ("operation".into(), (*operation).to_owned()),
        ],
        span: 0..0,
    };
    mapping.receive = channels.iter().map(channel).collect();
    Arc::new(mapping)
}

#[test]
fn services_and_operations_may_share_a_mapping() {
    let claim = |name: &str| format!("<{name}><Claim><ClaimNo>C1</ClaimNo></Claim></{name}>");
    for (channels, namespace) in [
        (vec![("A", "Submit"), ("A", "Resend")], "urn:vestibule:A"),
        (vec![("A", "Submit"), ("B", "Submit")], "urn:vestibule:desk"),
    ] {
        let mapping = shared(&channels);
        for name in ["A", "B"] {
            let own: Vec<_> =
                mapping.receive.iter().filter(|it| it.get("service") == Some(name)).cloned().collect();
            if own.is_empty() {
                continue;
            }
            let offered = |channel: &Channel| Offered {
                mapping: Arc::clone(&mapping),
                channel: channel.clone(),
                flow: 7,
            };
            let mut diagnostics = Diagnostics::default();
            let flows = own.iter().map(offered).collect();
            let service =
                SoapFrontend::default().service(name, flows, &Memory::default(), &mut diagnostics).unwrap();
            let described = text(&service.describe("http://host/"));
            let contract = WsdlContract::read("g.wsdl", &Memory::of(&[("g.wsdl", &described)])).unwrap();
            for channel in &own {
                let operation = channel.get("operation").unwrap();
                let call = service
                    .accept(&request(None, None, envelope(NS11, "", &claim(operation))))
                    .map(|it| it.call().unwrap());
                let call = call.map_err(|it| text(&it)).map(|it| (it.flow, it.context.operation.to_string()));
                assert_eq!(call, Ok((7, operation.to_owned())));
                // A body that only the action tells apart.
                let action = format!("urn:vestibule:{name}/{operation}");
                let call = service
                    .accept(&request(None, Some(&action), envelope(NS11, "", &claim("Other"))))
                    .map(|it| it.call().unwrap());
                assert_eq!(call.map(|it| it.context.operation.to_string()).ok().as_deref(), Some(operation));
                // What is written is what the description promises.
                let reply = contract.message(Some(operation), Direction::Reply).unwrap();
                assert_eq!((&*reply.name.namespace, &*reply.name.local), (namespace, "Done"));
                let renderer =
                    crate::render::XmlRenderer::compile(&mapping, mapping.back.as_ref().unwrap()).unwrap();
                let bytes = vestibule_core::ports::Renderer::render(&renderer, &[]).unwrap();
                let written = format!("<Done xmlns=\"{namespace}\"");
                assert!(String::from_utf8_lossy(&bytes).starts_with(&written), "{bytes:?}");
            }
        }
    }
}

#[test]
fn a_service_that_can_not_be_built_says_why() {
    let with = |operation: &str| {
        let mut mapping = claims();
        mapping.receive[0].settings[1].1 = operation.to_owned();
        mapping
    };
    for (flows, expected) in [
        (vec![with("Nope")], "the contract has no operation `Nope`"),
        (vec![claims(), claims()], "another mapping already receives `SubmitClaim` of this service"),
        (
            vec![mapping("m", &[("operation", "Not a name")], None, Vec::new(), None)],
            "`Not a name` can not be an element's name: a message can not carry it",
        ),
    ] {
        assert_eq!(service_of(flows).map(drop), Err(expected.to_owned()));
    }
}

proptest::proptest! {
    #[test]
    fn every_change_of_a_message_gets_a_call_or_a_well_formed_fault(
        at in 0usize..600, with in "[a-z:/\"<>&;# \\x00-\\x1F\u{e9}]{0,6}", cut in 0usize..60, is_new in proptest::bool::ANY,
    ) {
        let header = "<e:Header><a:MessageID xmlns:a='http://www.w3.org/2005/08/addressing'>urn:1</a:MessageID></e:Header>";
        let mut message: Vec<char> = envelope(if is_new { NS12 } else { NS11 }, header, CLAIM).chars().collect();
        let at = at % message.len();
        let end = (at + cut).min(message.len());
        message.splice(at..end, with.chars());
        let message: String = message.into_iter().collect();
        if let Err(reply) = service().accept(&request(None, None, message)) {
            proptest::prop_assert!(text(&reply).contains("ValidationFault"));
        }
    }
}

/// `CORPUS=/work/shared/corpus cargo test -p vestibule-soap -- --ignored corpus_of_messages --nocapture`
#[test]
#[ignore = "needs a folder of XML files"]
fn corpus_of_messages() {
    let Ok(corpus) = std::env::var("CORPUS") else { return };
    for folder in ["soap12/RequestMessages", "soap12/ReplyMessages", "xml-attacks/xmltestdata"] {
        let folder = std::path::Path::new(&corpus).join(folder);
        let mut all: Vec<_> = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
        all.sort();
        for path in all {
            let bytes = std::fs::read(&path).unwrap();
            let limits = Limits::default();
            let start = std::time::Instant::now();
            let said = match Source::decode(&bytes, None, None, &limits) {
                Err(error) => format!("{error}"),
                Ok(source) => match source.parse(&limits, Options::default()) {
                    Err(error) => format!("{error} at {}:{}", error.line, error.column),
                    Ok(tree) => match envelope::read(&tree) {
                        Ok(message) => format!("ok: {}", tree.name(message.payload)),
                        Err(error) => format!("envelope: {error}"),
                    },
                },
            };
            println!("{:?} {}: {said}", start.elapsed(), path.file_name().unwrap().to_string_lossy());
        }
    }
}
